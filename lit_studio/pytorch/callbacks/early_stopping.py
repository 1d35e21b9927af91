"""Lightning's `lightning.pytorch.callbacks.early_stopping`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.early_stopping import EarlyStopping, EarlyStoppingReason

__all__ = [
    "EarlyStopping",
    "EarlyStoppingReason",
]
