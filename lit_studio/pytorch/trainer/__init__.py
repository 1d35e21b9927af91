"""Lightning's `lightning.pytorch.trainer`: the Trainer.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.trainer.seed import seed_everything
from lit_studio.trainer.trainer import Trainer

__all__ = [
    "Trainer",
    "seed_everything",
]

__getattr__ = submodules(__name__, __path__)
