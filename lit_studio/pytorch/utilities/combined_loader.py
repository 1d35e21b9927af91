"""Lightning's `lightning.pytorch.utilities.combined_loader`: several loaders as one.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.combined_loader import CombinedLoader

__all__ = [
    "CombinedLoader",
]
