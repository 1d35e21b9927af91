"""Callbacks: they steer a run through hooks.

It must not know the loop's inside, nor which observers watch.
"""

from lit_studio.callbacks.base import Callback, Checkpoint
from lit_studio.callbacks.batch_size_finder import BatchSizeFinder
from lit_studio.callbacks.device_stats_monitor import DeviceStatsMonitor
from lit_studio.callbacks.early_stopping import EarlyStopping
from lit_studio.callbacks.finetuning import BackboneFinetuning, BaseFinetuning
from lit_studio.callbacks.functional import GradientAccumulationScheduler, LambdaCallback
from lit_studio.callbacks.lr_finder import LearningRateFinder
from lit_studio.callbacks.lr_monitor import LearningRateMonitor
from lit_studio.callbacks.model_checkpoint import ModelCheckpoint
from lit_studio.callbacks.model_summary import ModelSummary, RichModelSummary
from lit_studio.callbacks.on_exception_checkpoint import OnExceptionCheckpoint
from lit_studio.callbacks.prediction_writer import BasePredictionWriter
from lit_studio.callbacks.progress import ProgressBar, RichProgressBar, TQDMProgressBar
from lit_studio.callbacks.pruning import ModelPruning
from lit_studio.callbacks.sample_predictions import SamplePredictions
from lit_studio.callbacks.spike_detection import SpikeDetection
from lit_studio.callbacks.stochastic_weight_avg import StochasticWeightAveraging
from lit_studio.callbacks.throughput_monitor import ThroughputMonitor
from lit_studio.callbacks.timer import Timer
from lit_studio.callbacks.weight_averaging import EMAWeightAveraging, WeightAveraging

__all__ = [
    "BackboneFinetuning",
    "BaseFinetuning",
    "BasePredictionWriter",
    "BatchSizeFinder",
    "Callback",
    "Checkpoint",
    "DeviceStatsMonitor",
    "EMAWeightAveraging",
    "EarlyStopping",
    "GradientAccumulationScheduler",
    "LambdaCallback",
    "LearningRateFinder",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ModelPruning",
    "ModelSummary",
    "OnExceptionCheckpoint",
    "ProgressBar",
    "RichModelSummary",
    "RichProgressBar",
    "SamplePredictions",
    "SpikeDetection",
    "StochasticWeightAveraging",
    "TQDMProgressBar",
    "ThroughputMonitor",
    "Timer",
    "WeightAveraging",
]
