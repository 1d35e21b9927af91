"""Use cases that join what the rooms below can do, shared by the command line and the notebook: ``L.studio``.

It must not know how its results are shown: cells, panels and terminals each draw them in their own way. Importing it is
cheap: what a use case needs is loaded when it is asked for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lit_studio.base.runs import RunDirectory
    from lit_studio.media.board import Board

__all__ = ["dashboard"]


def dashboard(run: RunDirectory | str | os.PathLike[str] | None = None) -> Board:
    """The board of a run, on which a program shows images, histograms, matrices, tables, texts and figures.

    Args:
        run: the run that this process trains or trained last if None, and if it has trained none, the newest one that
            was recorded; else a run, the beginning of its id, or its directory.

    Returns:
        an object with ``image``, ``histogram``, ``confusion``, ``table``, ``text`` and ``figure``. What they store lies
        in the run's directory and appears on its dashboard.

    Raises:
        RunNotFoundError: there is no such run, or none at all.
        RunRecordError: the run's record can't be read.
        InvalidValueError: the text is neither a folder nor an id, or fits several runs.

    Example:
        >>> import lit_studio as L
        >>> L.studio.dashboard().image("first batch", batch[0][:16])
    """
    from lit_studio.base.runs import current_run
    from lit_studio.media.board import board_of
    from lit_studio.studio.choice import choose_run

    current = current_run() if run is None else None
    return board_of(choose_run(run) if current is None else current.run)
