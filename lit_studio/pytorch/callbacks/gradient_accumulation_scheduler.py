"""Lightning's `lightning.pytorch.callbacks.gradient_accumulation_scheduler`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.functional import GradientAccumulationScheduler

__all__ = [
    "GradientAccumulationScheduler",
]
