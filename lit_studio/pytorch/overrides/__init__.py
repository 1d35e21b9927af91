"""Lightning's `lightning.pytorch.overrides`: sharing data over ranks.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.pytorch.overrides import distributed

__all__ = [
    "distributed",
]
