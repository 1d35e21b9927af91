"""Progress bars for terminals, and one quiet line an epoch where there is no terminal.

It must not know notebooks: there an observer shows the run.
"""

from lit_studio.callbacks.progress.base import ProgressBar
from lit_studio.callbacks.progress.rich_bar import RichProgressBar, RichProgressBarTheme
from lit_studio.callbacks.progress.text_bar import TQDMProgressBar

__all__ = ["ProgressBar", "RichProgressBar", "RichProgressBarTheme", "TQDMProgressBar"]
