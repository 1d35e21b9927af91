"""Callbacks: they steer a run through hooks.

It must not know the loop's inside, nor which observers watch.
"""

from lit_studio.trainer.callbacks.base import Callback, Checkpoint
from lit_studio.trainer.callbacks.early_stopping import EarlyStopping
from lit_studio.trainer.callbacks.functional import GradientAccumulationScheduler, LambdaCallback
from lit_studio.trainer.callbacks.lr_monitor import LearningRateMonitor
from lit_studio.trainer.callbacks.model_checkpoint import ModelCheckpoint
from lit_studio.trainer.callbacks.timer import Timer

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "GradientAccumulationScheduler",
    "LambdaCallback",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "Timer",
]
