"""Lightning's `lightning.pytorch.core.optimizer`: the wrapped optimizer.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.optimization import LightningOptimizer

__all__ = [
    "LightningOptimizer",
]
