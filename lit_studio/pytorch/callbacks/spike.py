"""Lightning's `lightning.pytorch.callbacks.spike`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.spike_detection import SpikeDetection

__all__ = [
    "SpikeDetection",
]
