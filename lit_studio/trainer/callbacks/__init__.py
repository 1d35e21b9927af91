"""Callbacks: they steer a run through hooks.

It must not know the loop's inside, nor which observers watch.
"""

from lit_studio.trainer.callbacks.base import Callback, Checkpoint
from lit_studio.trainer.callbacks.device_stats_monitor import DeviceStatsMonitor
from lit_studio.trainer.callbacks.early_stopping import EarlyStopping
from lit_studio.trainer.callbacks.finetuning import BackboneFinetuning, BaseFinetuning
from lit_studio.trainer.callbacks.functional import GradientAccumulationScheduler, LambdaCallback
from lit_studio.trainer.callbacks.lr_monitor import LearningRateMonitor
from lit_studio.trainer.callbacks.model_checkpoint import ModelCheckpoint
from lit_studio.trainer.callbacks.model_summary import ModelSummary, RichModelSummary
from lit_studio.trainer.callbacks.on_exception_checkpoint import OnExceptionCheckpoint
from lit_studio.trainer.callbacks.prediction_writer import BasePredictionWriter
from lit_studio.trainer.callbacks.progress import ProgressBar, RichProgressBar, TQDMProgressBar
from lit_studio.trainer.callbacks.stochastic_weight_avg import StochasticWeightAveraging
from lit_studio.trainer.callbacks.timer import Timer
from lit_studio.trainer.callbacks.weight_averaging import EMAWeightAveraging, WeightAveraging

__all__ = [
    "BackboneFinetuning",
    "BaseFinetuning",
    "BasePredictionWriter",
    "Callback",
    "Checkpoint",
    "DeviceStatsMonitor",
    "EMAWeightAveraging",
    "EarlyStopping",
    "GradientAccumulationScheduler",
    "LambdaCallback",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ModelSummary",
    "OnExceptionCheckpoint",
    "ProgressBar",
    "RichModelSummary",
    "RichProgressBar",
    "StochasticWeightAveraging",
    "TQDMProgressBar",
    "Timer",
    "WeightAveraging",
]
