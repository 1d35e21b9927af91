"""Lightning's `lightning.pytorch.callbacks.lr_finder`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.lr_finder import LearningRateFinder

__all__ = [
    "LearningRateFinder",
]
