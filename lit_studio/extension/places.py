"""Which places on disk the server may touch: its root directory, and runs that keep nothing.

It must not know requests. Symbolic links are followed before a place is judged, so that a link inside the root
opens nothing outside. A run elsewhere is as unknown as one that doesn't exist.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

from lit_studio.base.errors import RunError, RunNotFoundError, StudioError
from lit_studio.base.runs import RunDirectory, find_run, list_runs
from lit_studio.base.settings import data_home, runtime_home

ID_LENGTH = 8
LISTED = 200
LISTED_FOR = 30.0


class Places:
    """Finds runs and folders under ``root``. Safe to use from several threads."""

    def __init__(self, root: Path):
        self.root = root.resolve()
        self._lock = threading.Lock()
        self._listed: tuple[float, int, list[RunDirectory]] | None = None

    def folder(self, relative: str) -> Path | None:
        """The real path of a folder given relative to the root; None if it isn't one or leads out of the root."""
        if relative.startswith("/"):  # Jupyter's own paths sometimes do and mean the root
            relative = relative.lstrip("/")
        try:
            path = Path(os.path.realpath(self.root / relative))
            return path if path.is_relative_to(self.root) and path.is_dir() else None
        except (OSError, ValueError):  # a name too long, a NUL byte
            return None

    def relative(self, path: str | Path) -> str:
        """``path`` relative to the root with forward slashes, empty if it lies elsewhere."""
        try:
            return Path(path).relative_to(self.root).as_posix()
        except ValueError:
            return ""

    def find_run(self, run_id: str, hint: str = "") -> RunDirectory:
        """The run ``run_id``: at ``hint`` (relative to the root) if it lies there, else where the user's index says.

        Raises:
            RunNotFoundError: no run has this id, or it lies where the server may not look.
        """
        if len(run_id) == ID_LENGTH:
            with contextlib.suppress(StudioError):
                if hint and (path := self.folder(hint)) is not None:
                    run = RunDirectory.open(path)
                    if run.info.id == run_id and self._allows(run):
                        return run
            with contextlib.suppress(StudioError):
                run = find_run(run_id)
                if self._allows(run):
                    return run
        raise RunNotFoundError("No run has this id", value=run_id)

    def runs(self) -> list[RunDirectory]:
        """The newest runs of this user that the server may show, newest first, at most :data:`LISTED`."""
        index = data_home() / "runs"
        try:
            changed = index.stat().st_mtime_ns
        except OSError:
            return []
        now = time.monotonic()
        with self._lock:
            # The index changes with each run that begins, but not when one is removed.
            if self._listed is None or self._listed[1] != changed or now - self._listed[0] > LISTED_FOR:
                found = [run for run in list_runs(LISTED) if self._allows(run)]
                self._listed = now, changed, found
            return [run for run in self._listed[2] if (run.record / "run.json").is_file()]

    def _allows(self, run: RunDirectory) -> bool:
        temporary = (runtime_home() / "runs").resolve()
        with contextlib.suppress(OSError, RunError):
            # The record and its files too: each could be a link that leads elsewhere.
            real = [Path(os.path.realpath(path)) for path in (run.path, run.record, *run.record.iterdir())]
            return any(all(path.is_relative_to(place) for path in real) for place in (self.root, temporary))
        return False
