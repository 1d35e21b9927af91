"""A recorded run as an object for the notebook: its dashboard when displayed, its numbers when asked.

It must not know who trained it or whether that is still going on: it reads the run's directory each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_studio.base.runs import RunDirectory, RunStatus
from lit_studio.studio import words
from lit_studio.tracking import RunReader
from lit_studio.widgets.bundle import Bundle, View, final_bundle, live_bundle


class TrainingRun:
    """One recorded run.

    Attributes:
        id: 8 hexadecimal characters.
        name: the directory's name, for instance ``version_3``.
        directory: where it lies.
    """

    def __init__(self, run: RunDirectory):
        self._run, self._reader = run, RunReader(run)
        self.id, self.name, self.directory = run.info.id, run.info.name, Path(run.path)
        self._widget: Any = None

    @property
    def status(self) -> RunStatus:
        """Where the run stands now."""
        return self._run.status()

    @property
    def metrics(self) -> dict[str, float | str]:
        """The last value of each metric, the ones that matter most first."""
        status = self.status
        return words.ordered(status.metrics, status.headline)

    @property
    def names(self) -> list[str]:
        """Names of the series that were logged."""
        return self._reader.names()

    def values(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """All points of one series: ``(steps, values)``, i64 and f64 of the same length.

        Raises:
            InvalidValueError: there is no such series; the message lists those there are.
        """
        return self._reader.values(name)

    def __repr__(self) -> str:
        return words.summary(self.name, self.status)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Bundle | tuple[Bundle, Bundle]:
        status = self.status
        view: View = "evaluation" if words.is_evaluation(status) and not status.step else "training"
        if not status.is_active:
            return final_bundle(self._run, view)
        from lit_studio.widgets.live import DashboardWidget

        if self._widget is None:
            self._widget = DashboardWidget(self._run, view)
        return live_bundle(self._run, view, self._widget.model_id)
