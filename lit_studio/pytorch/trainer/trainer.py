"""Lightning's `lightning.pytorch.trainer.trainer`: the Trainer.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.trainer import Trainer

__all__ = [
    "Trainer",
]
