"""Lightning's `lightning.pytorch.callbacks.progress`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.callbacks.progress import ProgressBar, RichProgressBar, TQDMProgressBar

__all__ = [
    "ProgressBar",
    "RichProgressBar",
    "TQDMProgressBar",
]

__getattr__ = submodules(__name__, __path__)
