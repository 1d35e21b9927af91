"""Shows a run in the notebook cell that trains it: the factory that the Trainer asks, and the two observers it gives.

It must not know the Trainer, and it must stay cheap to import: in a script it looks at two entries of
``sys.modules`` and steps aside; widgets and numpy are imported only once there is something to show in a kernel.
"""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Callable
from typing import Any

from lit_studio.base.errors import StudioError
from lit_studio.base.events import Event, Observer, Paused, Progressed, RunEnded, RunStarted
from lit_studio.base.runs import RunDirectory
from lit_studio.base.runs.status import finite_or_text
from lit_studio.base.settings import resolve
from lit_studio.studio import words
from lit_studio.widgets.bundle import Bundle, View, final_bundle, live_bundle

AtCellEnd = Callable[[BaseException | None], None]

LINE_EVERY = 1.0
"""Seconds between two updates of the plain line, at least."""
LINE_STEPS, LINE_SLOWLY = 15, 10.0
"""The plain line waits for this many steps, or this many seconds where steps are slow: a quiet notebook."""


def notebook_observer(run: RunDirectory) -> Observer | None:
    """What shows ``run`` in the cell that runs now: the live dashboard, or one line where the mode is ``plain``.

    Returns:
        None outside of a Jupyter kernel, and where the setting ``mode`` is ``off``.

    Raises:
        InvalidValueError: the setting ``mode`` has an unknown value.
    """
    shell = _kernel_shell()
    if shell is None:
        return None
    mode = resolve("mode").value
    if mode == "off":
        return None
    return PlainLine(run, Display(shell)) if mode == "plain" else LiveDashboard(run, Display(shell))


def _kernel_shell() -> Any | None:
    """IPython's shell if this process is a Jupyter kernel; imports nothing."""
    ipython, zmqshell = sys.modules.get("IPython"), sys.modules.get("ipykernel.zmqshell")
    if ipython is None or zmqshell is None:
        return None
    shell = ipython.get_ipython()
    return shell if isinstance(shell, zmqshell.ZMQInteractiveShell) else None


class Display:
    """One output of the cell that was running when it was first shown, and which is replaced from then on."""

    def __init__(self, shell: Any):
        self._shell, self._id = shell, f"lit-studio-{uuid.uuid4().hex[:12]}"
        self._shown = False

    def show(self, data: Bundle, metadata: Bundle | None = None) -> None:
        """Display ``data``, in place of what was displayed before."""
        self._shell.display_pub.publish(
            data=data, metadata=metadata or {}, transient={"display_id": self._id}, update=self._shown
        )
        self._shown = True

    def call_at_cell_end(self, function: AtCellEnd) -> None:
        """Call ``function`` once, when the cell that runs now has ended, with the error that ended it."""
        events = self._shell.events

        def ended(result: Any) -> None:
            events.unregister("post_run_cell", ended)
            function(result.error_before_exec or result.error_in_exec)

        events.register("post_run_cell", ended)

    def another(self) -> Display:
        """A further output below this one."""
        return Display(self._shell)


class LiveDashboard:
    """Displays the dashboard at a run's start and the picture at its end; in between the page asks, at its own pace.

    Attributes:
        at_cell_end: set by whoever runs a loop that doesn't say when it is over; called when the cell is.
    """

    displays = True
    at_cell_end: AtCellEnd | None = None

    def __init__(self, run: RunDirectory, display: Display):
        self.run = run
        self._next = display
        self._display: Display | None = None
        self._view: View = "training"
        self._widget: Any = None

    def observe(self, event: Event) -> None:
        """Take note of the start and the end; everything else is on disk already."""
        if isinstance(event, RunStarted):
            self._start(event)
        elif isinstance(event, RunEnded):
            metrics = {name: finite_or_text(value) for name, value in event.metrics.items()}
            self._end(metrics if self._view == "evaluation" else None)

    def close(self) -> None:
        """Leave the picture if that hasn't happened yet."""
        self._end(None)

    def _start(self, event: RunStarted) -> None:
        self._end(None)
        self._view = "training" if event.stage == "train" else "evaluation"
        self._display, self._next = self._next, self._next.another()
        if self.at_cell_end is not None:
            self._display.call_at_cell_end(self.at_cell_end)
        hint = ""
        try:
            from lit_studio.widgets.live import DashboardWidget

            self._widget = DashboardWidget(self.run, self._view)
        except (StudioError, ImportError) as error:  # training goes on; JupyterLab draws the run type all the same
            hint = str(error)
        self._display.show(live_bundle(self.run, self._view, getattr(self._widget, "model_id", None), hint))

    def _end(self, metrics: dict[str, float | str] | None) -> None:
        if self._display is None:
            return
        display, self._display = self._display, None
        try:
            display.show(*final_bundle(self.run, self._view, metrics))
        finally:
            if self._widget is not None:
                self._widget.close()
                self._widget = None


class PlainLine:
    """One line of text, replaced at most once a second, for places where nothing richer is wanted.

    Attributes:
        at_cell_end: as for :class:`LiveDashboard`.
    """

    displays = True
    at_cell_end: AtCellEnd | None = None

    def __init__(self, run: RunDirectory, display: Display):
        self.run = run
        self._next = display
        self._display: Display | None = None
        self._shown_at, self._shown_step = 0.0, 0

    def observe(self, event: Event) -> None:
        """Show the line if it is time."""
        if isinstance(event, Progressed):
            waited = event.time - self._shown_at
            if waited >= LINE_EVERY and (event.step - self._shown_step >= LINE_STEPS or waited >= LINE_SLOWLY):
                self._shown_step = event.step
                self._show(event.time)
        elif isinstance(event, RunStarted):
            self._display, self._next = self._next, self._next.another()
            self._shown_step = event.step
            if self.at_cell_end is not None:
                self._display.call_at_cell_end(self.at_cell_end)
            self._show(event.time)
        elif isinstance(event, Paused):
            self._show(event.time)
        elif isinstance(event, RunEnded):
            self._end(event)

    def close(self) -> None:
        """Nothing is held."""

    def _show(self, now: float) -> None:
        if self._display is None:
            return
        self._shown_at = now
        with contextlib.suppress(StudioError):  # a record that can't be read now is read the next time
            self._display.show({"text/plain": words.progress(self.run.info.name, self.run.status())})

    def _end(self, event: RunEnded) -> None:
        if self._display is None:
            return
        display, self._display = self._display, None
        display.show({"text/plain": words.summary(self.run.info.name, self.run.status(), event.stage != "train")})
