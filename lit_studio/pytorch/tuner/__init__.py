"""Lightning's `lightning.pytorch.tuner`: the tuner.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.trainer.tuner import Tuner

__all__ = [
    "Tuner",
]

__getattr__ = submodules(__name__, __path__)
