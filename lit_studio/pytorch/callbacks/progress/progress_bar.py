"""Lightning's `lightning.pytorch.callbacks.progress.progress_bar`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.progress import ProgressBar

__all__ = [
    "ProgressBar",
]
