"""Lightning's `lightning.fabric.utilities.spike`: jumps of the loss.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.spike_detection import LossWatch as SpikeDetection
from lit_studio.callbacks.spike_detection import TrainingSpikeException

__all__ = [
    "SpikeDetection",
    "TrainingSpikeException",
]
