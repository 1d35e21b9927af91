"""The progress bar drawn with Rich.

It must not know the loop: it is told which passes are under way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lit_studio.callbacks.progress.base import format_metric
from lit_studio.callbacks.progress.passes import DRAW_EVERY, Pass, PassBar, clock, quiet_line, speed

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, Task, TaskID

    from lit_studio.trainer.trainer import Trainer

_DRAW_EVERY_IN_A_PAGE = 0.5


@dataclass
class RichProgressBarTheme:
    """Rich styles of the bar's parts, and how metrics are written.

    Attributes:
        description, progress_bar, progress_bar_finished, progress_bar_pulse, batch_progress, time, processing_speed,
            metrics: styles, for instance ``"bold green"`` or ``"#6206E0"``; ``pulse`` is a pass of unknown length.
        metrics_text_delimiter: what stands between two metrics.
        metrics_format: how a float is written.
    """

    description: str = ""
    progress_bar: str = "#5b8def"
    progress_bar_finished: str = "#3fb27f"
    progress_bar_pulse: str = "#5b8def"
    batch_progress: str = ""
    time: str = "dim"
    processing_speed: str = "dim"
    metrics: str = "italic"
    metrics_text_delimiter: str = " "
    metrics_format: str = ".3f"


class RichProgressBar(PassBar):
    """A line for the epoch (and one for the validation inside it) with time left, speed and headline metrics.

    It draws at most five times a second and reads metrics only then, so that a step costs one look at the clock. Where
    the output is no terminal it prints one line at the end of each epoch.

    Args:
        refresh_rate: draw only at every so many batches; 0 draws nothing.
        leave: whether the lines of finished epochs stay.
        theme: colours and number format.
        console_kwargs: arguments for ``rich.console.Console``.
    """

    def __init__(
        self,
        refresh_rate: int = 1,
        leave: bool = False,
        theme: RichProgressBarTheme | None = None,
        console_kwargs: dict[str, Any] | None = None,
    ):
        super().__init__(refresh_rate, leave)
        self.theme = theme or RichProgressBarTheme()
        self._console_kwargs = console_kwargs or {}
        self._console: Console | None = None
        self.progress: Progress | None = None
        self._tasks: list[TaskID] = []
        self._kept: list[TaskID] = []

    def configure_columns(self, trainer: Trainer) -> list[ProgressColumn]:
        """The columns of each line; override it to change them.

        A task's fields ``count``, ``times``, ``speed`` and ``metrics`` are text, ready to show.
        """
        from rich.progress import BarColumn, TextColumn

        theme = self.theme
        return [
            TextColumn("{task.description}", style=theme.description or "none", markup=False),
            BarColumn(
                bar_width=32,
                complete_style=theme.progress_bar,
                finished_style=theme.progress_bar_finished,
                pulse_style=theme.progress_bar_pulse,
            ),
            TextColumn("{task.fields[count]}", style=theme.batch_progress or "none", markup=False),
            TextColumn("{task.fields[times]}", style=theme.time, markup=False),
            TextColumn("{task.fields[speed]}", style=theme.processing_speed, markup=False),
            TextColumn("{task.fields[metrics]}", style=theme.metrics, markup=False),
        ]

    def open_display(self) -> None:
        """Begin to draw, if there is a terminal (or a page) to draw on."""
        from rich.console import Console

        from lit_studio.callbacks.progress.lines import LinesProgress

        self._console = Console(**self._console_kwargs)
        self._tasks, self._kept = [], []
        if not (self._console.is_terminal or self._console.is_jupyter):
            return
        self._draw_every = _DRAW_EVERY_IN_A_PAGE if self._console.is_jupyter else DRAW_EVERY
        usual = type(self).configure_columns is RichProgressBar.configure_columns
        theme = self.theme if usual else None
        self.progress = LinesProgress(self.configure_columns(self.trainer), theme, self._console)
        self.progress.start()

    def draw(self, passes: list[Pass], metrics: dict[str, Any], now: float) -> None:
        """Bring each line up to date and draw once."""
        if self.progress is None:
            return
        for level, current in enumerate(passes):
            if level == len(self._tasks):
                self._tasks.append(self._add(current))
            innermost = level == len(passes) - 1
            total = "" if current.total is None else f"/{current.total}"
            fields: dict[str, Any] = {
                "count": f"{current.done}{total}",
                "times": f"{clock(current.seconds(now))} • {clock(current.left(now))}",
            }
            if innermost:
                fields["speed"] = speed(current.rate(now))
            if current.kind == "train" or len(passes) == 1:
                fields["metrics"] = self._shown_metrics(metrics)
            self.progress.update(self._tasks[level], completed=current.done, **fields)
        self.progress.refresh()

    def _add(self, current: Pass) -> TaskID:
        assert self.progress is not None
        if current.kind == "train" and not self._leave:
            for older in self._kept:
                self.progress.remove_task(older)
            self._kept.clear()
        return self.progress.add_task(
            current.description, total=current.total, count="", times="", speed="", metrics=""
        )

    def _shown_metrics(self, metrics: dict[str, Any]) -> str:
        parts = (f"{name}: {format_metric(value, self.theme.metrics_format)}" for name, value in metrics.items())
        return self.theme.metrics_text_delimiter.join(parts)

    def close_pass(self, done: Pass, metrics: dict[str, Any], now: float) -> None:
        """Take the line of an inner pass away, keep that of an outer one."""
        if self.progress is None:
            if self._console is not None and not self._passes and done.kind != "sanity_check":
                self._console.print(quiet_line(done, metrics, now), highlight=False, markup=False, soft_wrap=True)
            return
        task = self._tasks.pop()
        if self._passes or done.kind == "sanity_check":
            self.progress.remove_task(task)
        else:
            self._kept.append(task)

    def close_display(self) -> None:
        """Leave the last lines on the terminal."""
        if self.progress is not None:
            self.progress.stop()
        self.progress = self._console = None
        self._tasks, self._kept = [], []

    def refresh(self) -> None:
        """Draw now."""
        if self.progress is not None:
            self.progress.refresh()

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar; with Rich's arguments while it is drawn."""
        if self.progress is not None:
            self.progress.console.print(*args, **kwargs)
        else:
            super().print(*args, **kwargs)

    @property
    def train_progress_bar(self) -> Task | None:
        """Rich's task of the training epoch, None while there is none."""
        return self._task("train")

    @property
    def val_progress_bar(self) -> Task | None:
        """Rich's task of the validation, None while there is none."""
        return self._task("validate")

    @property
    def val_sanity_check_bar(self) -> Task | None:
        """Rich's task of the sanity check, None while there is none."""
        return self._task("sanity_check")

    @property
    def test_progress_bar(self) -> Task | None:
        """Rich's task of the test, None while there is none."""
        return self._task("test")

    def _task(self, kind: str) -> Task | None:
        if self.progress is None:
            return None
        for task, current in zip(self._tasks, self._passes, strict=False):
            if current.kind == kind:
                return self.progress._tasks[task]
        return None

    def __getstate__(self) -> dict[str, Any]:
        # What is drawn belongs to this process's terminal.
        dropped: dict[str, Any] = {
            "progress": None,
            "_console": None,
            "_tasks": [],
            "_kept": [],
            "_passes": [],
            "_shown": False,
        }
        return {**self.__dict__, **dropped, "_trainer": None, "_module": None}
