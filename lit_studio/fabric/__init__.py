"""Lightning's `lightning.fabric`: the door for code written against it.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.fabric import Fabric
from lit_studio.trainer.fabric_faces import is_wrapped
from lit_studio.trainer.resume import LAYOUT as __version__  # code asks whether Lightning is new enough: this one is
from lit_studio.trainer.seed import seed_everything

__all__ = [
    "Fabric",
    "__version__",
    "is_wrapped",
    "seed_everything",
]
