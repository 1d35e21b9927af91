"""Lightning's `lightning.pytorch.callbacks.batch_size_finder`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.batch_size_finder import BatchSizeFinder

__all__ = [
    "BatchSizeFinder",
]
