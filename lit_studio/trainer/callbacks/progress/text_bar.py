"""The progress bar that is one line of plain text.

It must not know the loop: it is told which passes are under way. It needs neither tqdm nor Rich and uses neither.
"""

from __future__ import annotations

import shutil
import sys
from typing import Any, TextIO

from lit_studio.base.errors import InvalidValueError
from lit_studio.trainer.callbacks.progress.base import format_metric
from lit_studio.trainer.callbacks.progress.passes import Pass, PassBar, clock, quiet_line, speed

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BAR_WIDTH = 20


class TQDMProgressBar(PassBar):
    """One line that is written over and over: ``Epoch 1/9:  42%|████▏    | 24/57 [0:01<0:02, 20.3 it/s, loss=0.1]``.

    Under the name that Lightning's users know; it looks like tqdm's bar and doesn't use the package. Where the output
    is no terminal it prints one line at the end of each epoch.

    Args:
        refresh_rate: draw only at every so many batches, and never more often than ten times a second; 0 draws nothing.
        process_position: so many lines are left free above the bar.
        leave: whether the lines of finished epochs stay.

    Raises:
        InvalidValueError: an argument is negative.
    """

    def __init__(self, refresh_rate: int = 1, process_position: int = 0, leave: bool = False):
        super().__init__(refresh_rate, leave)
        if process_position < 0:
            raise InvalidValueError("process_position is negative", value=process_position, valid="≥ 0")
        self._process_position = process_position
        self._file: TextIO | None = None
        self._line = ""
        self._ended = False

    @property
    def process_position(self) -> int:
        """Lines left free above the bar."""
        return self._process_position

    def open_display(self) -> None:
        """Take the standard output as it is now."""
        self._file, self._line, self._ended = sys.stdout, "", False
        if self._file.isatty():
            self._file.write("\n" * self._process_position)

    def draw(self, passes: list[Pass], metrics: dict[str, Any], now: float) -> None:
        """Write the innermost pass over the line before."""
        file = self._file
        if file is None or not file.isatty() or not passes:
            return
        if self._ended and self._leave:
            file.write("\n")
            self._line = ""
        self._ended = False
        width = shutil.get_terminal_size().columns - 1
        line = _line(passes[-1], metrics, now)[:width]
        file.write(f"\r{line.ljust(len(self._line))}")
        file.flush()
        self._line = line

    def close_pass(self, done: Pass, metrics: dict[str, Any], now: float) -> None:
        """Keep the line of an outer pass until the next one takes its place."""
        outer = not self._passes and done.kind != "sanity_check"
        if self._file is not None and not self._file.isatty():
            if outer:
                print(quiet_line(done, metrics, now), file=self._file, flush=True)
            return
        self._ended = outer

    def close_display(self) -> None:
        """Leave the cursor at the beginning of a line."""
        if self._file is not None and self._file.isatty() and self._line:
            self._file.write("\n")
            self._file.flush()
        self._file, self._line = None, ""

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar."""
        if self._file is None or not self._line:
            super().print(*args, **kwargs)
            return
        line, self._line = self._line, ""
        self._file.write(f"\r{' ' * len(line)}\r")
        super().print(*args, **{"file": self._file, **kwargs})
        self._file.write(line)
        self._file.flush()
        self._line = line

    def __getstate__(self) -> dict[str, Any]:
        # What is drawn belongs to this process's terminal.
        dropped: dict[str, Any] = {"_file": None, "_line": "", "_passes": [], "_shown": False}
        return {**self.__dict__, **dropped, "_trainer": None, "_module": None}


def _line(current: Pass, metrics: dict[str, Any], now: float) -> str:
    numbers = [f"{name}={format_metric(value, '.3g')}" for name, value in metrics.items()]
    if current.total is None:
        parts = [clock(current.seconds(now)), speed(current.rate(now)), *numbers]
        return f"{current.description}: {current.done} [{', '.join(parts)}]"
    share = min(1.0, current.done / current.total) if current.total else 1.0
    parts = [f"{clock(current.seconds(now))}<{clock(current.left(now))}", speed(current.rate(now)), *numbers]
    return f"{current.description}: {share:4.0%}|{_bar(share)}| {current.done}/{current.total} [{', '.join(parts)}]"


def _bar(share: float) -> str:
    eighths = round(share * _BAR_WIDTH * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(_BAR_WIDTH)
