"""Lightning's `lightning.pytorch.plugins.precision.double`: numerics.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.precision import DoublePrecision

__all__ = [
    "DoublePrecision",
]
