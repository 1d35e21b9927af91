"""Lightning's `lightning.pytorch.callbacks.lr_monitor`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.lr_monitor import LearningRateMonitor

__all__ = [
    "LearningRateMonitor",
]
