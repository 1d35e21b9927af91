"""Lightning's `lightning.fabric.utilities.seed`: seeds.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.seed import seed_everything

__all__ = [
    "seed_everything",
]
