"""What is written down about a kernel: how it was started, who keeps it, what it does, and how it ended.

It must not know how a kernel is started or reached; it reads and writes small files, whole or not at all.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

from lit_studio.base.json_files import replace_json
from lit_studio.base.processes import process_runs, process_start_time

Status = Literal["starting", "running", "exited"]


@dataclass(frozen=True)
class KernelSpec:
    """How a kernel is started; holds the connection's key, so its file is for the owner only.

    Attributes:
        kernel_id: the id that Jupyter gave it.
        kernel_name: the kernelspec's name.
        command: its arguments, the interpreter first.
        environment: its environment variables.
        cwd: the folder it starts in.
        connection_file: where its connection file lies.
        connection: what is in it, should somebody remove it.
        journals_itself: whether the kernel writes the journal; else its keeper does, as well as it can.
        root: the root folder of the server that started it; only servers of this root take it over.
        launch: tells this start from other starts of the same kernel.
        quota: how many bytes the journal may have before its older part is folded.
    """

    kernel_id: str
    kernel_name: str
    command: list[str]
    environment: dict[str, str]
    cwd: str
    connection_file: str
    connection: dict[str, Any]
    journals_itself: bool
    root: str = ""
    launch: str = ""
    quota: int = 64 << 20


@dataclass(frozen=True)
class KernelState:
    """What the keeper knows.

    Attributes:
        status: ``starting`` before there is a process, ``exited`` after.
        pid, pid_started: the kernel's process, and its start time in clock ticks since boot.
        keeper_pid, keeper_started: the keeper's.
        started: when the kernel started, seconds since the epoch.
        ended: when it ended; None while it lives.
        exit_code: as ``subprocess`` gives it, negative for a signal; None if nobody was there to learn it.
        error: why it could not be started.
        culled: whether the keeper ended it because it was idle.
        cull_at: when the keeper will do that, seconds since the epoch; None while it won't.
        launch: the one of the spec that this is about.
    """

    status: Status = "starting"
    pid: int = 0
    pid_started: float = 0.0
    keeper_pid: int = 0
    keeper_started: float = 0.0
    started: float = 0.0
    ended: float | None = None
    exit_code: int | None = None
    error: str = ""
    culled: bool = False
    cull_at: float | None = None
    launch: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether the kernel's process lives now, whatever its keeper last wrote."""
        return self.status == "running" and process_runs(self.pid, self.pid_started)

    @property
    def is_kept(self) -> bool:
        """Whether its keeper lives."""
        return process_runs(self.keeper_pid, self.keeper_started)

    def kept_by_me(self) -> Self:
        """The same with this process as its keeper."""
        pid = os.getpid()
        return replace(self, keeper_pid=pid, keeper_started=process_start_time(pid))


@dataclass(frozen=True)
class Execution:
    """What the kernel's main shell does, by its execute requests only.

    Attributes:
        state: ``starting``, ``busy`` or ``idle``.
        msg_id: the last request's.
        cell_id: its cell's, empty where the client didn't say.
        count: its execution count.
        since: when this state began, seconds since the epoch.
        number: the journal's last record of the last request that is through.
    """

    state: str = "starting"
    msg_id: str = ""
    cell_id: str = ""
    count: int = 0
    since: float = 0.0
    number: int = 0


@dataclass(frozen=True)
class Owner:
    """Which server has a kernel.

    Attributes:
        pid, started: the server's process, and its start time in clock ticks since boot; 0 for none.
        adopted: whether it took the kernel over from another server.
    """

    pid: int = 0
    started: float = 0.0
    adopted: bool = False

    @classmethod
    def myself(cls, adopted: bool = False) -> Self:
        """This process."""
        pid = os.getpid()
        return cls(pid, process_start_time(pid), adopted)

    @property
    def is_alive(self) -> bool:
        """Whether it lives."""
        return process_runs(self.pid, self.started)


@dataclass(frozen=True)
class IdlePolicy:
    """When an idle kernel is ended; written by the server, read by the keeper, which goes by it without the server.

    Attributes:
        idle_minutes: end a kernel that has been idle so long; None never.
        warning_minutes: say so that long before.
        awake_until: leave it alone until then, seconds since the epoch; None for no such wish, ``inf`` for ever.
        connections: pages that look at it; a kernel that is looked at is left alone.
        server_pid, server_started: whose count that is; a dead server's counts for nothing.
    """

    idle_minutes: float | None = None
    warning_minutes: float = 5.0
    awake_until: float | None = None
    connections: int = 0
    server_pid: int = 0
    server_started: float = 0.0

    def cull_at(self, execution: Execution, now: float) -> float | None:
        """When a kernel that does ``execution`` is to be ended; None if it isn't.

        Args:
            execution: what its main shell does. One that never ran a cell is idle since it started.
            now: seconds since the epoch.
        """
        if self.idle_minutes is None or execution.state == "busy":
            return None
        if self.awake_until is not None and now < self.awake_until:
            return None
        if self.connections and Owner(self.server_pid, self.server_started).is_alive:
            return None
        return execution.since + 60.0 * self.idle_minutes


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as JSON, for its owner only.

    Raises:
        OSError: the disk is full, or the folder is gone.
    """
    replace_json(path, value, 0o600, allow_nan=True)  # a kernel may be kept awake for ever


def read_state(path: Path) -> KernelState | None:
    """The state in ``path``; None if there is none or it can't be read."""
    return _read(path, KernelState)


def read_spec(path: Path) -> KernelSpec | None:
    """The spec in ``path``; None if there is none or it can't be read."""
    return _read(path, KernelSpec)


def read_execution(path: Path) -> Execution:
    """What the kernel says that it does; ``starting`` if it hasn't said anything yet.

    The kernel overwrites the file in place, so a look in that very moment may find half of it; the next one won't.
    """
    for _ in range(3):
        found: Execution | None = _read(path, Execution)
        if found is not None:
            return found
        time.sleep(0.001)
    return Execution()


def read_policy(path: Path) -> IdlePolicy:
    """The policy in ``path``; the default one, which ends nothing, without it."""
    return _read(path, IdlePolicy) or IdlePolicy()


def read_owner(path: Path) -> Owner:
    """The owner in ``path``; nobody without it."""
    return _read(path, Owner) or Owner()


def write(path: Path, record: KernelSpec | KernelState | Execution | IdlePolicy | Owner) -> None:
    """Replace ``path`` by ``record``.

    Raises:
        OSError: the disk is full, or the folder is gone.
    """
    write_json(path, asdict(record))


def _read(path: Path, kind: type[Any]) -> Any:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        known = {one.name for one in fields(kind)}
        return kind(**{key: value for key, value in record.items() if key in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
