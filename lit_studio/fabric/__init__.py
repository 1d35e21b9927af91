"""Fabric: what a plain loop lacks, in a few verbs; and Lightning's `lightning.fabric`, for code written against it.

It must not know how a Trainer loops: it stands on the trainer's parts. Modules that do nothing but rename those parts
(`strategies`, `plugins`, `loggers`, `accelerators`, `utilities`) are where Lightning has them.
"""

from lit_studio.base.lazy import submodules
from lit_studio.fabric.fabric import Fabric
from lit_studio.fabric.wrappers import is_wrapped
from lit_studio.trainer.resume import LAYOUT as __version__  # code asks whether Lightning is new enough: this one is
from lit_studio.trainer.seed import seed_everything

__all__ = [
    "Fabric",
    "__version__",
    "is_wrapped",
    "seed_everything",
]

__getattr__ = submodules(__name__, __path__)
