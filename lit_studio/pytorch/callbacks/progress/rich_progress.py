"""Lightning's `lightning.pytorch.callbacks.progress.rich_progress`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.progress import RichProgressBar, RichProgressBarTheme

__all__ = [
    "RichProgressBar",
    "RichProgressBarTheme",
]
