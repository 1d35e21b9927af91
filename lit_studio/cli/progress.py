"""Following the runs of one process on disk, and showing on the terminal how they go.

It must not know what the process is, a kernel or a script: it looks at the runs that its id has written.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from lit_studio.base.errors import StudioError
from lit_studio.base.runs import RunDirectory, RunStatus, list_runs
from lit_studio.studio import words

_RECENT = 30
_PROGRAM = "program"  # no run's id: those are hexadecimal numbers
QUIET_EVERY = 10.0
"""Seconds between two lines where nobody watches."""


class Follower:
    """The runs that process ``pid`` has written since ``since`` (seconds since the epoch)."""

    def __init__(self, pid: int, since: float):
        self.pid, self._since = pid, since
        self._known: dict[str, RunDirectory] = {}

    def look(self) -> list[tuple[RunDirectory, RunStatus]]:
        """Every run with its present status, in the order in which they began."""
        for run in list_runs(limit=_RECENT):
            if run.info.pid == self.pid:
                self._known[run.info.id] = run
        found = []
        for run in self._known.values():
            with contextlib.suppress(StudioError):  # gone, or being written at this moment
                status = run.status()
                if status.updated >= self._since:
                    found.append((run, status))
        return sorted(found, key=lambda pair: pair[1].started)


class _Detail(ProgressColumn):
    """Everything on a run but its name and its bar."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("detail", "")), style="dim" if task.finished else "")


class ProgressDisplay:
    """Shows how a program and its runs go: bars that move on a terminal, else a line now and then.

    Use it as a context manager and call :meth:`update` as often as you like.

    Args:
        console: where to show it.
        title: what runs.
        look: gives the runs there are.
    """

    def __init__(self, console: Console, title: str, look: Callable[[], list[tuple[RunDirectory, RunStatus]]]):
        self._console, self._title, self._look = console, title, look
        self._told: set[tuple[str, float]] = set()
        self._bars: dict[str, TaskID] = {}
        self._line_at = time.monotonic()
        self._progress: Progress | None = None
        if console.is_terminal:
            self._progress = Progress(
                SpinnerColumn(finished_text="✓"),
                TextColumn("{task.description}"),
                BarColumn(bar_width=28),
                _Detail(table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
                console=console,
                transient=True,
                expand=True,
                refresh_per_second=8,
            )

    def __enter__(self) -> ProgressDisplay:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.update(self._title)
        if self._progress is not None:
            self._progress.stop()

    def update(self, title: str, done: int = 0, of: int | None = None) -> None:
        """Look at the runs and bring the display up to date.

        Args:
            title: what the program does now, for instance ``cell 3 of 9``.
            done: how much of it is done.
            of: out of how much, None if unknown.
        """
        if self._progress is not None:
            if _PROGRAM not in self._bars:
                self._bars[_PROGRAM] = self._progress.add_task(title)
            self._progress.update(self._bars[_PROGRAM], description=title, completed=done, total=of)
        active = []
        for run, status in self._look():
            if status.is_active:
                active.append((run, status))
            elif (run.info.id, status.started) not in self._told and status.state != "created":
                self._told.add((run.info.id, status.started))
                self._console.print(Text(words.summary(run.info.name, status)), soft_wrap=True)
        if self._progress is not None:
            self._draw(self._progress, active)
        elif active and time.monotonic() - self._line_at >= QUIET_EVERY:
            self._line_at = time.monotonic()
            for run, status in active:
                self._console.print(Text(words.progress(run.info.name, status)), soft_wrap=True)

    def _draw(self, progress: Progress, active: list[tuple[RunDirectory, RunStatus]]) -> None:
        going = {run.info.id for run, _ in active}
        for key in [key for key in self._bars if key != _PROGRAM and key not in going]:
            progress.remove_task(self._bars.pop(key))
        for run, status in active:
            if run.info.id not in self._bars:
                self._bars[run.info.id] = progress.add_task("")
            evaluates = words.is_evaluation(status)
            done, planned = (status.batch, status.batches) if evaluates else (status.step, status.planned_steps)
            name, _, detail = words.progress(run.info.name, status).partition(" · ")
            progress.update(self._bars[run.info.id], description=name, completed=done, total=planned, detail=detail)
