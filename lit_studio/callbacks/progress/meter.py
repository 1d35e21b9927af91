"""A line that shows how far some work is that is no pass of the loop.

It must not know what the work is.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

from lit_studio.callbacks.progress.passes import DRAW_EVERY, Pass
from lit_studio.callbacks.progress.text_bar import pass_line


class Meter:
    """Writes one line over and over, on a terminal or in a cell; elsewhere nothing.

    Args:
        description: what stands before the bar.
        total: how much there is to do.
        shown: False writes nothing.
    """

    def __init__(self, description: str, total: int, shown: bool = True):
        self._pass = Pass("meter", description, total)
        self._file: TextIO | None = sys.stdout if shown and _can_rewrite() else None
        self._drawn, self._width = 0.0, 0

    def advance(self) -> None:
        """One more is done."""
        self._pass.done += 1
        now = time.monotonic()
        if now - self._drawn >= DRAW_EVERY:
            self._draw(now)

    def close(self) -> None:
        """Leave the line as it is and begin another."""
        if self._file is not None and self._pass.done:
            self._draw(time.monotonic())
            self._file.write("\n")
            self._file.flush()
        self._file = None

    def _draw(self, now: float) -> None:
        self._drawn = now
        if self._file is None:
            return
        line = pass_line(self._pass, {}, now, shutil.get_terminal_size().columns - 1)
        self._file.write(f"\r{line.ljust(self._width)}")
        self._file.flush()
        self._width = len(line)


def _can_rewrite() -> bool:
    out = sys.stdout
    return out is not None and (out.isatty() or type(out).__module__.partition(".")[0] == "ipykernel")
