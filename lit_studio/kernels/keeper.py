"""The keeper: a small process that is a kernel's parent, outlives every server, and knows how the kernel ended.

It must not know Jupyter's server, a notebook or a page: it has the kernel's folder, and acts by what lies there.

Use: ``python -m lit_studio.kernels.keeper FOLDER`` starts the kernel that ``spec.json`` there describes;
``--adopt`` takes over one that lives and whose keeper doesn't. Both return at once: the keeper leaves for a session of
its own, so that nothing that ends a server or a terminal reaches it.

It imports little, because there is one for each kernel: the standard library, and this room's small files.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from lit_studio.base.processes import process_start_time
from lit_studio.kernels import journal
from lit_studio.kernels.places import KernelPlace
from lit_studio.kernels.state import (
    KernelSpec,
    KernelState,
    read_execution,
    read_owner,
    read_policy,
    read_spec,
    read_state,
    write,
)
from lit_studio.kernels.usage import write_usage

LOOK_EVERY = 1.0  # seconds; how long what a kernel published may wait for its disk
REST = 5.0  # seconds between looks while nothing happens
TERMINATE_AFTER = 10.0  # seconds between the polite signal and the other
LOG_BYTES = 10 << 20


class Keeper:
    """One kernel's.

    Args:
        place: the kernel's folder.
        spec: how it is started.
    """

    def __init__(self, place: KernelPlace, spec: KernelSpec):
        self._place, self._spec = place, spec
        self._process: subprocess.Popen[bytes] | None = None
        self._state = KernelState(started=time.time(), launch=spec.launch).kept_by_me()
        self._synced: tuple[str, int] = ("", 0)
        self._weighed = 0  # segments, when the journal's size was last looked at
        self._folding: subprocess.Popen[bytes] | None = None
        self._peak = 0

    def start(self) -> bool:
        """Start the kernel; whether that worked. If not, the state says why."""
        spec = self._spec
        # ipykernel ends itself when the process of this number does.
        environment = {key: value for key, value in spec.environment.items() if key != "JPY_PARENT_PID"}
        try:
            with self._place.log.open("ab") as log:
                self._process = subprocess.Popen(
                    spec.command,
                    env=environment,
                    cwd=spec.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            self._save(status="exited", ended=time.time(), error=str(error))
            return False
        pid = self._process.pid
        self._save(status="running", pid=pid, pid_started=process_start_time(pid))
        return True

    def adopt(self) -> bool:
        """Take over the kernel that the state describes; whether it lives and had no keeper."""
        state = read_state(self._place.state)
        if state is None or not state.is_alive or state.is_kept:
            return False
        self._state = state.kept_by_me()  # not its parent: how the kernel ends stays unknown
        self._save()
        return True

    def keep(self) -> None:
        """Look after the kernel until it ends, and write down how."""
        try:
            end = os.pidfd_open(self._state.pid)
        except (AttributeError, OSError):  # no such call here, or it has ended already
            end = -1
        listener = None
        if not self._spec.journals_itself:
            from lit_studio.kernels.listening import Listener  # brings zmq, which most keepers can do without

            listener = Listener(self._place, self._spec.connection)
        quiet = 0
        while not self._has_ended():
            quiet = 0 if self._look_after() else quiet + 1
            rest = LOOK_EVERY if quiet < 5 else REST
            if end >= 0:
                select.select([end], [], [], rest)  # a kernel's end is noticed at once
            else:
                time.sleep(min(rest, LOOK_EVERY))
        if end >= 0:
            os.close(end)
        if listener is not None:
            listener.close()
        self._finish()

    def _finish(self) -> None:
        self._look_after()
        code = None
        if self._process is not None:
            code = self._process.returncode
            self._peak = max(self._peak, 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
        self._state = replace(self._state, status="exited", ended=time.time(), exit_code=code, cull_at=None)
        write_usage(self._spec, self._state, self._peak)
        if self._state.culled or self._place.ending.exists() or not read_owner(self._place.owner).is_alive:
            remove_traces(self._spec)
        now = read_state(self._place.state)
        if now is None or now.launch == self._state.launch:  # not if it has been started again meanwhile
            self._save()

    # Looking after it -------------------------------------------------------------------------------------------

    def _look_after(self) -> bool:
        """Do what is due; whether the kernel has published something."""
        wrote = False
        with contextlib.suppress(OSError):  # a full disk must not cost the kernel its keeper
            wrote = self._sync()
            self._trim_log()
            self._fold()
            if not self._has_ended():
                self._cull()
        self._peak = max(self._peak, _peak_memory(self._state.pid))
        return wrote

    def _sync(self) -> bool:
        found = journal.segments(self._place.journal)
        if not found:
            return False
        newest = (found[-1].name, found[-1].stat().st_size)
        if newest == self._synced:
            return False
        for path in found[-2:] if newest[0] != self._synced[0] else found[-1:]:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(file)
            finally:
                os.close(file)
        self._synced = newest
        return True

    def _fold(self) -> None:
        """Have the journal's older part folded once it is too large: by another process, as that takes memory."""
        if self._folding is not None and self._folding.poll() is None:
            return
        found = journal.segments(self._place.journal)
        if len(found) == self._weighed:
            return
        self._weighed = len(found)
        if sum(path.stat().st_size for path in found) > self._spec.quota:
            command = [sys.executable, "-P", "-m", "lit_studio.kernels.folding", str(self._place.journal)]
            self._folding = subprocess.Popen([*command, str(self._spec.quota)], stdin=subprocess.DEVNULL)

    def _trim_log(self) -> None:
        if self._place.log.stat().st_size > LOG_BYTES:
            os.truncate(self._place.log, 0)  # the kernel appends, so it goes on at the new end

    def _cull(self) -> None:
        policy, now = read_policy(self._place.policy), time.time()
        execution = read_execution(self._place.execution)
        if not execution.since:
            execution = replace(execution, since=self._state.started)
        due = policy.cull_at(execution, now)
        if due is None or now < due - 60.0 * policy.warning_minutes:
            due = None
        elif self._state.cull_at is None:  # the warning comes first, also after a night without a keeper
            due = max(due, now + 60.0 * policy.warning_minutes)
        else:
            due = max(due, self._state.cull_at)
        if due != self._state.cull_at:
            self._save(cull_at=due)
        if due is not None and now >= due:
            self._save(culled=True)
            self._terminate()

    def _terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._state.pid, signal.SIGTERM)
            until = time.monotonic() + TERMINATE_AFTER
            while time.monotonic() < until and not self._has_ended():
                time.sleep(0.05)
            if not self._has_ended():
                os.killpg(self._state.pid, signal.SIGKILL)

    def _has_ended(self) -> bool:
        if self._process is not None:
            return self._process.poll() is not None
        return not self._state.is_alive

    def _save(self, **changes: object) -> None:
        self._state = replace(self._state, **changes)  # type: ignore[arg-type]
        write(self._place.state, self._state)


def _peak_memory(pid: int) -> int:
    """The most memory that ``pid`` has had, in bytes; 0 where that can't be known."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0


def remove_traces(spec: KernelSpec) -> None:
    """Remove the connection file and the sockets of a kernel that has ended and that nobody starts again."""
    connection = spec.connection
    names = [spec.connection_file]
    if connection.get("transport") == "ipc":
        names += [f"{connection['ip']}-{port}" for name, port in connection.items() if name.endswith("_port")]
    for name in names:
        Path(name).unlink(missing_ok=True)


def leave() -> None:
    """Go on as a process that belongs to nobody: no parent that may end or wait, no terminal, no signals of a group."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, lambda *_: None)  # unlike SIG_IGN, this isn't handed on to the kernel
    os.chdir("/")


def main() -> int:
    """Keep the kernel of the folder on the command line; returns when that is over."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--adopt"]
    place = KernelPlace(Path(arguments[0]).absolute())
    spec = read_spec(place.spec)
    if spec is None:
        print(f"{place.spec} is missing or can't be read", file=sys.stderr)  # noqa: T201 - its log
        return 1
    leave()
    keeper = Keeper(place, spec)
    if keeper.adopt() if "--adopt" in sys.argv else keeper.start():
        keeper.keep()
    return 0


if __name__ == "__main__":
    sys.exit(main())
