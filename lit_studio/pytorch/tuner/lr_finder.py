"""Lightning's `lightning.pytorch.tuner.lr_finder`: what a learning-rate range test found.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.lr_range_test import RangeTest

__all__ = [
    "RangeTest",
]
