"""Lightning's `lightning.fabric`: the door for code written against it; Fabric itself is still to come.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.seed import seed_everything

__all__ = [
    "seed_everything",
]
