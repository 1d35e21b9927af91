"""The face of a profiler: named actions that start and stop, and a summary at the end.

It must not know what an action does.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_log = logging.getLogger("lit_studio")


class Profiler(ABC):
    """Measures actions by name; subclass it and implement :meth:`start`, :meth:`stop` and :meth:`summary`.

    Args:
        dirpath: folder for the report; None takes the run's directory if a file is wanted, else no file.
        filename: name of the report without suffix, for instance ``"perf"`` → ``fit-perf.txt``; None writes no file
            and sends the summary to the log instead.
    """

    def __init__(self, dirpath: str | Path | None = None, filename: str | None = None):
        self.dirpath = None if dirpath is None else Path(dirpath)
        self.filename = filename
        self._stage: str | None = None
        self._local_rank = 0
        self._log_dir: str | None = None

    @abstractmethod
    def start(self, action_name: str) -> None:
        """Note that ``action_name`` begins."""

    @abstractmethod
    def stop(self, action_name: str) -> None:
        """Note that ``action_name`` ends."""

    @abstractmethod
    def summary(self) -> str:
        """What was measured since the last :meth:`setup`, as text."""

    @contextmanager
    def profile(self, action_name: str) -> Iterator[str]:
        """Measure the body of a ``with`` statement, also when it raises."""
        self.start(action_name)
        try:
            yield action_name
        finally:
            self.stop(action_name)

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Begin a run: forget earlier measurements and note where a report goes.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.
            local_rank: this process's rank on its node; None means 0.
            log_dir: the run's directory, used where ``dirpath`` is None.
        """
        self._stage, self._local_rank, self._log_dir = stage, local_rank or 0, log_dir

    def teardown(self, stage: str | None = None) -> None:  # noqa: B027 - optional to override
        """End a run: release what is held. Call :meth:`describe` before."""

    def describe(self) -> None:
        """Write the summary to the report file if there is a filename, else to the log (rank 0)."""
        text = self.summary()
        if not text:
            return
        path = self.report_path(".txt")
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
        elif self._local_rank == 0:
            _log.info("%s", text)

    def report_path(self, suffix: str) -> Path | None:
        """``<dirpath>/<stage>-<filename>[-<rank>]<suffix>``, or None if no file is wanted."""
        folder = self.dirpath or (Path(self._log_dir) if self._log_dir else None)
        if self.filename is None or folder is None:
            return None
        rank = f"-{self._local_rank}" if self._local_rank else ""
        parts = [part for part in (self._stage, self.filename) if part]
        return folder / f"{'-'.join(parts)}{rank}{suffix}"


class PassThroughProfiler(Profiler):
    """Measures nothing; the Trainer treats it as no profiler at all."""

    def start(self, action_name: str) -> None:
        """Do nothing."""

    def stop(self, action_name: str) -> None:
        """Do nothing."""

    def summary(self) -> str:
        """Nothing was measured."""
        return ""
