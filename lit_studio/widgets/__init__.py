"""What a notebook cell displays of a run: the live dashboard, and the picture that stays.

It must not know how a run is trained; it reads the run's directory, and commands go into the run's inbox. Importing
this package is cheap: widgets and numpy are loaded when something is shown.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_studio.base.runs import RunDirectory
    from lit_studio.widgets.gallery import ImageGrid
    from lit_studio.widgets.training_run import TrainingRun

__all__ = ["dashboard", "image_grid"]


def dashboard(run: RunDirectory | str | os.PathLike[str] | None = None) -> TrainingRun:
    """Show a run again: later, in another notebook, or while it trains somewhere else.

    Args:
        run: the beginning of its id, its directory (``"lightning_logs/version_3"``), or None for the newest run.

    Returns:
        an object that a notebook displays as the run's dashboard, and that tells its numbers.

    Raises:
        RunNotFoundError: there is no such run.
        RunRecordError: the run's record can't be read.
        InvalidValueError: the text is neither a folder nor an id, or fits several runs.

    Example:
        >>> from lit_studio.widgets import dashboard
        >>> dashboard("lightning_logs/version_3")
    """
    from lit_studio.studio.choice import choose_run
    from lit_studio.widgets.training_run import TrainingRun

    return TrainingRun(choose_run(run))


def image_grid(
    images: Any, captions: Sequence[str] | None = None, good: Sequence[bool] | None = None, columns: int = 8
) -> ImageGrid:
    """Images in rows with a line below each, for instance what the model took them for.

    Args:
        images: ``(N, H, W)`` grey, ``(N, 1 or 3, H, W)`` or ``(N, H, W, 3)``; arrays or CPU tensors of any real dtype.
            Bytes are taken as they are, everything else is stretched from its smallest to its largest value.
        captions: a line for each image.
        good: for each image whether its caption is right, shown in green or red.
        columns: images in a row.

    Raises:
        InvalidTypeError: ``images`` can't be read as an array.
        InvalidValueError: it has another shape, or the lists have different lengths.
    """
    from lit_studio.widgets.gallery import ImageGrid

    return ImageGrid(images, captions, good, columns)
