"""Lightning's `lightning.pytorch.callbacks.weight_averaging`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.weight_averaging import EMAWeightAveraging, WeightAveraging

__all__ = [
    "EMAWeightAveraging",
    "WeightAveraging",
]
