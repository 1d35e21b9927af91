"""Rich's progress display with its usual columns drawn at an eighth of the price: lines of text instead of a table.

It must not know passes or metrics, only Rich's tasks and their fields. A table measures and wraps every cell at each
draw; here the cells are known to be short, and the line is cut at the terminal's edge.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Progress, ProgressColumn, Task
from rich.segment import Segment
from rich.style import Style

if TYPE_CHECKING:
    from lit_studio.callbacks.progress.rich_bar import RichProgressBarTheme

BAR_WIDTH = 32
FIELDS = ("count", "times", "speed", "metrics")
_FULL, _HALF, _GAP = "━", "╸", "╺"


class LinesProgress(Progress):
    """A ``rich.progress.Progress`` that draws lines itself where that looks like the table of its columns.

    Args:
        columns: what to draw where lines won't do: a pass of unknown length, a terminal without colours.
        theme: the styles; None always draws the columns.
        console: where to.
    """

    def __init__(self, columns: list[ProgressColumn], theme: RichProgressBarTheme | None, console: Console):
        self._theme = theme if console.color_system and not console.options.ascii_only else None
        super().__init__(*columns, console=console, auto_refresh=False)

    def get_renderable(self) -> RenderableType:
        """What is drawn now."""
        tasks = [task for task in self.tasks if task.visible]
        if self._theme is None or not tasks or any(task.total is None for task in tasks):
            return super().get_renderable()
        return _Lines(tasks, self._theme, self.console.get_style("bar.back"))


class _Lines:
    """The lines of some tasks, their columns below each other."""

    def __init__(self, tasks: list[Task], theme: RichProgressBarTheme, back: Style):
        self._tasks, self._theme, self._back = tasks, theme, back

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        theme, parse = self._theme, Style.parse
        styles = [theme.batch_progress, theme.time, theme.processing_speed, theme.metrics]
        rows = [(task.description, *(task.fields[name] for name in FIELDS)) for task in self._tasks]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for number, (task, row) in enumerate(zip(self._tasks, rows, strict=True)):
            if number:
                yield Segment.line()
            yield Segment(f"{row[0]:<{widths[0]}} ", parse(theme.description or "none"))
            yield from self._bar(task)
            for cell, width, style in zip(row[1:], widths[1:], styles, strict=True):
                yield Segment(f" {cell:<{width}}", parse(style or "none"))

    def _bar(self, task: Task) -> Iterator[Segment]:
        total, theme = task.total or 0.0, self._theme
        halves = int(BAR_WIDTH * 2 * min(total, max(0.0, task.completed)) / total) if total else 2 * BAR_WIDTH
        full, half = divmod(halves, 2)
        style = theme.progress_bar_finished if task.finished else theme.progress_bar
        yield Segment(_FULL * full + _HALF * half, Style.parse(style))
        left = BAR_WIDTH - full - half
        gap = left and full and not half
        yield Segment((_GAP if gap else "") + _FULL * (left - bool(gap)), self._back)
