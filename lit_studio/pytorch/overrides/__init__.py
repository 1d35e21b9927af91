"""Lightning's `lightning.pytorch.overrides`: sharing data over ranks.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.pytorch.overrides import distributed

__all__ = [
    "distributed",
]

__getattr__ = submodules(__name__, __path__)
