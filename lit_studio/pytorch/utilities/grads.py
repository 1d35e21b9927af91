"""Lightning's `lightning.pytorch.utilities.grads`: norms of gradients.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.optimization import grad_norm

__all__ = [
    "grad_norm",
]
