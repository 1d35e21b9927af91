"""Lightning's `lightning.pytorch.core.module`: the module.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.module import LightningModule

__all__ = [
    "LightningModule",
]
