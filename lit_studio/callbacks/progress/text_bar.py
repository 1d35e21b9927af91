"""The progress bar that is one line of plain text.

It must not know the loop: it is told which passes are under way. It needs neither tqdm nor Rich and uses neither.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any, TextIO

from lit_studio.base.errors import InvalidValueError
from lit_studio.callbacks.progress.base import format_metric
from lit_studio.callbacks.progress.passes import Pass, PassBar, clock, quiet_line, speed

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_PLAIN = " ########"  # for a terminal that can't write the blocks
_BAR_WIDTH, _LEAST_BAR = 20, 4


class TQDMProgressBar(PassBar):
    """One line that is written over and over: ``Epoch 1/9:  42%|████▏    | 24/57 [0:01<0:02, 20.3 it/s, loss=0.1]``.

    Under the name that Lightning's users know; it looks like tqdm's bar and doesn't use the package. Where the output
    is no terminal it prints one line at the end of each epoch.

    Args:
        refresh_rate: draw only at every so many batches, and at most five times a second; 0 draws nothing.
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
        self._closed: tuple[int, dict[str, Any]] | None = None
        self._blocks = _EIGHTHS

    @property
    def process_position(self) -> int:
        """Lines left free above the bar."""
        return self._process_position

    def open_display(self) -> None:
        """Take the standard output as it is now."""
        self._file, self._line, self._ended, self._closed = sys.stdout, "", False, None
        self._blocks = _EIGHTHS if _can_write(self._file, _EIGHTHS) else _PLAIN
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
        if self._closed is not None and self._closed == (id(passes[-1]), metrics):
            return  # nothing has come since its line was closed
        line = pass_line(passes[-1], metrics, now, shutil.get_terminal_size().columns - 1, self._blocks)
        file.write(f"\r{line.ljust(len(self._line))}")
        file.flush()
        self._line = line

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the epoch's metrics; after the last epoch close the line, for what is logged next is not ours."""
        super().on_train_epoch_end(trainer, pl_module)
        limit = trainer.max_epochs
        last = trainer.should_stop or (limit not in (None, -1) and trainer.current_epoch + 1 >= (limit or 0))
        if last and self._line and self._file is not None and self._passes:
            self._file.write("\n")
            self._file.flush()
            self._line, self._closed = "", (id(self._passes[-1]), dict(self._metrics))

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


def pass_line(current: Pass, metrics: dict[str, Any], now: float, width: int, blocks: str = _EIGHTHS) -> str:
    """A pass as one line of at most ``width`` characters."""
    numbers = [f"{name}={format_metric(value, '.3g')}" for name, value in metrics.items()]
    if current.total is None:
        parts = [clock(current.seconds(now)), speed(current.rate(now)), *numbers]
        return f"{current.description}: {current.done} [{', '.join(parts)}]"[:width]
    share = min(1.0, current.done / current.total) if current.total else 1.0
    parts = [f"{clock(current.seconds(now))}<{clock(current.left(now))}", speed(current.rate(now)), *numbers]
    before, after = f"{current.description}: {share:4.0%}|", f"| {current.done}/{current.total} [{', '.join(parts)}]"
    room = width - len(before) - len(after)
    return f"{before}{_bar(share, max(_LEAST_BAR, min(_BAR_WIDTH, room)), blocks)}{after}"[:width]


def _bar(share: float, width: int, blocks: str) -> str:
    full, rest = divmod(round(share * width * 8), 8)
    return (blocks[-1] * full + (blocks[rest] if rest else "")).ljust(width)


def _can_write(file: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(file, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
