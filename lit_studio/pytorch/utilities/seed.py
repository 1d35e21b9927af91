"""Lightning's `lightning.pytorch.utilities.seed`: seeds.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.seed import isolate_rng

__all__ = [
    "isolate_rng",
]
