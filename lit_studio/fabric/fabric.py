"""Lightning's `lightning.fabric.fabric`.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.fabric import Fabric

__all__ = [
    "Fabric",
]
