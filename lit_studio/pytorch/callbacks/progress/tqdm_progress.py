"""Lightning's `lightning.pytorch.callbacks.progress.tqdm_progress`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.progress import TQDMProgressBar

__all__ = [
    "TQDMProgressBar",
]
