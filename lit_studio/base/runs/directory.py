"""A run's directory: making it, opening it, and finding the ones there are.

It must not know what is trained or who looks. A small pointer file for each run lies in the user's data
directory, so that a run is found by its id without searching the disk; the run's directory itself is complete
without it and can be moved or copied. Which run this process trains is remembered here too, so that a cell or a
callback finds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
import tempfile
import time
import uuid
import weakref
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from lit_studio.base.errors import InvalidValueError, RunNotFoundError, RunRecordError
from lit_studio.base.json_files import replace_json
from lit_studio.base.processes import process_start_time
from lit_studio.base.runs.status import RunStatus, read_status
from lit_studio.base.settings import data_home, private_directory, runtime_home

RECORD = "studio"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Who and where: the content of ``run.json``, written once.

    Attributes:
        id: 8 hexadecimal characters.
        name: the directory's name, for instance ``version_3``.
        created: seconds since the epoch.
        pid, process_started, host: the process that trains; see ``status.process_start_time``.
        notebook: path or name of the notebook, empty in a script (from Jupyter's ``JPY_SESSION_NAME``).
        cwd: the process's working directory.
        python, packages: versions.
        format: version of this record's layout.
    """

    id: str
    name: str
    created: float
    pid: int
    process_started: float
    host: str
    notebook: str
    cwd: str
    python: str
    packages: dict[str, str]
    format: int = FORMAT


class RunDirectory:
    """One run on disk.

    Attributes:
        path: the run's directory, absolute.
        info: the content of ``run.json``.
    """

    def __init__(self, path: Path, info: RunInfo):
        self.path, self.info = path, info

    @classmethod
    def create(cls, path: Path | str, packages: dict[str, str] | None = None) -> RunDirectory:
        """Start a run in ``path`` (made if missing); an older record there is continued under its id.

        Args:
            path: the run's directory, usually ``lightning_logs/version_N``.
            packages: versions to note, for instance ``{"torch": "2.13.0"}``.

        Raises:
            OSError: the directory can't be made or written.
        """
        path = Path(path).resolve()
        record = path / RECORD
        record.mkdir(parents=True, exist_ok=True)
        if (record / "run.json").exists():
            with contextlib.suppress(RunRecordError, RunNotFoundError):
                older = cls.open(path).info
                return cls._write(path, older.id, older.created, packages or older.packages)
        return cls._write(path, uuid.uuid4().hex[:8], time.time(), packages or {})

    @classmethod
    def _write(cls, path: Path, run_id: str, created: float, packages: dict[str, str]) -> RunDirectory:
        info = RunInfo(
            id=run_id,
            name=path.name,
            created=created,
            pid=os.getpid(),
            process_started=process_start_time(os.getpid()),
            host=socket.gethostname(),
            notebook=os.environ.get("JPY_SESSION_NAME", ""),
            cwd=str(Path.cwd()),
            python=platform.python_version(),
            packages=packages,
        )
        replace_json(path / RECORD / "run.json", asdict(info))
        with contextlib.suppress(OSError):  # a read-only home must not end a run: it is still found by its path
            pointers = private_directory(data_home() / "runs")
            replace_json(pointers / f"{run_id}.json", {"path": str(path), "created": created})
        return cls(path, info)

    @classmethod
    def open(cls, path: Path | str) -> RunDirectory:
        """Open the run that lies in ``path``.

        Raises:
            RunNotFoundError: ``path`` holds no record.
            RunRecordError: the record can't be read.
        """
        path = Path(path).resolve()
        file = path / RECORD / "run.json"
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            known = {f.name for f in fields(RunInfo)}
            info = RunInfo(**{key: value for key, value in record.items() if key in known})
        except (FileNotFoundError, NotADirectoryError):
            raise RunNotFoundError("There is no run here", value=str(path), advice=f"{file} does not exist.") from None
        except (ValueError, TypeError, AttributeError, OSError) as error:
            raise RunRecordError(f"{file} can't be read ({error})") from error
        if not isinstance(info.format, int) or info.format > FORMAT:
            raise RunRecordError(
                "This run was written by a newer Lit Studio",
                value=info.format,
                advice="Upgrade lit-studio to read it.",
            )
        return cls(path, info)

    @property
    def record(self) -> Path:
        """The folder that holds our files."""
        return self.path / RECORD

    @property
    def metrics_log(self) -> Path:
        """The file of SERIES and POINTS blocks."""
        return self.record / "metrics.log"

    @property
    def events_log(self) -> Path:
        """The file of EVENT blocks."""
        return self.record / "events.log"

    @property
    def inbox(self) -> Path:
        """The folder into which commands go."""
        return self.record / "inbox"

    @property
    def media_log(self) -> Path:
        """The file of MEDIA blocks."""
        return self.record / "media.log"

    @property
    def media_folder(self) -> Path:
        """The folder of pictures, tables and texts; made with the first one."""
        return self.record / "media"

    @property
    def status_file(self) -> Path:
        """The file that says where the run stands."""
        return self.record / "status.json"

    def status(self) -> RunStatus:
        """Where the run stands now; ``lost`` if it should be active and its process is gone.

        Raises:
            RunRecordError: the status file can't be read.
        """
        return read_status(self.status_file, self.info.pid, self.info.process_started, self.info.host)

    def __repr__(self) -> str:
        return f"RunDirectory({self.info.id!r}, {str(self.path)!r})"


def temporary_run_root() -> Path:
    """A fresh directory for a run that keeps nothing (``logger=False``); its maker removes it at the end."""
    root = private_directory(runtime_home() / "runs")
    return Path(tempfile.mkdtemp(prefix="run-", dir=root))


def list_runs(limit: int | None = None) -> list[RunDirectory]:
    """The runs this user has started and that still exist, newest first.

    A pointer whose run is gone is removed; a run whose record can't be read is left out.
    """
    pointers: list[tuple[float, Path, Path]] = []
    for pointer in (data_home() / "runs").glob("*.json"):
        with contextlib.suppress(ValueError, KeyError, TypeError, OSError):
            record = json.loads(pointer.read_text(encoding="utf-8"))
            pointers.append((float(record["created"]), Path(record["path"]), pointer))
    found: list[RunDirectory] = []
    for _, path, pointer in sorted(pointers, reverse=True):
        if limit is not None and len(found) >= limit:
            break
        try:
            run = RunDirectory.open(path)
        except RunNotFoundError:
            with contextlib.suppress(OSError):
                pointer.unlink()
            continue
        except RunRecordError:
            continue
        if run.info.id == pointer.stem:
            found.append(run)
    return found


def find_run(run_id: str) -> RunDirectory:
    """The run whose id begins with ``run_id`` (at least 4 hexadecimal characters).

    Raises:
        InvalidValueError: ``run_id`` is too short, is no hexadecimal number, or fits several runs.
        RunNotFoundError: no run fits.
    """
    if not 4 <= len(run_id) <= 8 or set(run_id) - set("0123456789abcdef"):
        raise InvalidValueError("This is no run id", value=run_id, valid="4 to 8 characters of 0-9 and a-f")
    matches = []
    for pointer in sorted((data_home() / "runs").glob(f"{run_id}*.json")):
        with contextlib.suppress(ValueError, KeyError, TypeError, OSError, RunNotFoundError, RunRecordError):
            run = RunDirectory.open(json.loads(pointer.read_text(encoding="utf-8"))["path"])
            if run.info.id == pointer.stem:
                matches.append(run)
    if not matches:
        raise RunNotFoundError("No run has this id", value=run_id, advice="List them with: lit-studio runs list")
    if len(matches) > 1:
        ids = ", ".join(run.info.id for run in matches)
        raise InvalidValueError("This id fits several runs", value=run_id, valid=f"one of {ids}")
    return matches[0]


# The run of this process ---------------------------------------------------------------------------------------


class Watched(Protocol):
    """Who knows where a run stands and tells what happens to it."""

    def at(self) -> tuple[int, int]:
        """Optimizer steps done, and the epoch."""

    def warn(self, kind: str, message: str) -> None:
        """Tell everybody and the person at the terminal."""


@dataclass(frozen=True)
class Current:
    """The run that this process trains, or trained last.

    Attributes:
        run: its directory; None in a process that keeps no record: another rank than 0, or a barebones run.
        watched: gives who watches it, None once the run is over and its trainer is gone.
    """

    run: RunDirectory | None
    watched: Any

    def at(self) -> tuple[int, int] | None:
        """Where the run stands, None if nobody knows any more."""
        watched = self.watched()
        return None if watched is None else watched.at()


_current: list[Current] = []


def note_current(run: RunDirectory | None, watched: Watched) -> None:
    """From now on ``run`` is the one that is meant."""
    _current[:] = [Current(run, weakref.ref(watched))]


def current_run() -> Current | None:
    """The run that this process trains or trained last, None if it has trained nothing yet."""
    return _current[0] if _current else None
