"""Starts a kernel through a keeper, and is to Jupyter what a process's owner is: its signals, its end, its exit code.

It must not know jupyter-server: any program that uses jupyter_client's kernel managers can start kernels with it, by
the name ``lit-keeper``.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import LocalProvisioner
from traitlets import Enum, Int

from lit_studio.base.errors import KernelError
from lit_studio.kernels import boot
from lit_studio.kernels.places import LONGEST_SOCKET_PATH, KernelPlace, sockets_home
from lit_studio.kernels.state import KernelSpec, KernelState, Owner, read_state, write

START_WITHIN = 20.0  # seconds for a keeper to have started its kernel, on a machine that is very busy
SPEAK_WITHIN = 10.0  # seconds in which a kernel that can't be imported ends
KEEPER_ENDS_WITHIN = 5.0
UNKNOWN_EXIT = 1  # of a kernel whose keeper was replaced: its parent wasn't there to learn it
LOG_TAIL = 2000
LAUNCHERS = ("ipykernel_launcher", "ipykernel")
INTERPRETER = re.compile(r"(python|pypy)[0-9.]*(\.exe)?")


def through_boot(command: list[str], folder: Path) -> list[str] | None:
    """The command of an ipykernel so that it starts with our hooks in it; None if ``command`` starts something else.

    Args:
        command: for instance ``["python", "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "…"]``.
        folder: the kernel's.
    """
    if not command or not INTERPRETER.fullmatch(Path(command[0]).name):
        return None
    for index, argument in enumerate(command[1:], 1):
        if argument == "-m":
            if command[index + 1 : index + 2] not in ([name] for name in LAUNCHERS):
                return None
            return [*command[:index], str(Path(boot.__file__)), str(folder), *command[index + 2 :]]
        if not argument.startswith("-") and command[index - 1] not in ("-X", "-W"):  # a script
            return None
    return None


def start_keeper(place: KernelPlace, *options: str) -> subprocess.Popen[bytes]:
    """Start a keeper for the kernel in ``place``; the process that is returned leaves it behind and ends at once.

    ``-P``, so that files in the current folder can't stand for modules.
    """
    command = [sys.executable, "-P", "-m", "lit_studio.kernels.keeper", *options, str(place.folder)]
    with place.keeper_log.open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )


class KeeperProvisioner(LocalProvisioner):
    """A kernel that outlives the process that started it."""

    transport = Enum(
        ("ipc", "tcp"),
        "ipc",
        help="How ipykernels are talked to: by unix sockets that only their owner can open, or by ports. Sockets need "
        "a runtime directory with a short path; without one, and for other kernels, it is ports.",
    ).tag(config=True)
    journal_mebibytes = Int(64, min=1, help="How large a journal gets before its older part is folded, in MiB.").tag(
        config=True
    )

    _state: KernelState | None = None
    _owned: bool = False

    @property
    def place(self) -> KernelPlace:
        """The kernel's folder."""
        return KernelPlace.of(str(self.kernel_id))

    @property
    def has_process(self) -> bool:
        """Whether a kernel was started or taken over, and its end hasn't been waited for."""
        return self._state is not None

    @property
    def ended_on_purpose(self) -> bool:
        """Whether the kernel is not to be started again: culled, or stopped from elsewhere."""
        state = read_state(self.place.state)
        return (state is not None and state.culled) or self.place.ending.exists()

    def log_tail(self) -> str:
        """The end of what the kernel's process has written past Jupyter, which tells why it died."""
        return _tail(self.place.log, 0)

    def take_over(self, state: KernelState, connection: KernelConnectionInfo) -> None:
        """Own a kernel that lives.

        Args:
            state: what its keeper wrote.
            connection: the content of its connection file.
        """
        self._set_state(state)
        self.connection_info = connection

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Choose how the kernel is talked to, before Jupyter writes that into its connection file."""
        manager = self.parent
        if manager is not None and self._state is None and not any(manager.ports):
            reason = self._choose_sockets(manager)
            if reason:
                self.log.info("Kernel %s is talked to over TCP: %s", self.kernel_id, reason)
        return await super().pre_launch(**kwargs)

    def _choose_sockets(self, manager: Any) -> str:
        """Have the kernel use unix sockets; else the reason why not."""
        configured = (manager.config.get(kind.__name__, {}) for kind in type(manager).__mro__)
        if any("transport" in section or "ip" in section for section in configured):
            return "so it is configured"
        if self.transport == "tcp":
            return "KeeperProvisioner.transport says so"
        if through_boot(manager.format_kernel_cmd(), Path()) is None:
            return "not every kernel that isn't an ipykernel knows unix sockets"
        address = sockets_home() / str(self.kernel_id)[:13]
        if len(os.fsencode(f"{address}-5")) > LONGEST_SOCKET_PATH:
            return f"{address.parent} is too long a path for unix sockets"
        if any(address.parent.glob(f"{address.name}-*")):
            return f"{address} is in use"
        manager.transport, manager.ip = "ipc", str(address)
        manager.cache_ports = False
        return ""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start a keeper, which starts the kernel.

        Raises:
            KernelError: it could not be started, or ended at once; with the end of its log.
        """
        first, place = self._state is None and not self.place.state.exists(), self.place
        place.folder.mkdir(mode=0o700, exist_ok=True)
        await self._keeper_gone()
        for leftover in (place.ending, place.execution, place.hooks, place.waiting):
            leftover.unlink(missing_ok=True)
        spec = self._describe(cmd, kwargs)
        if not spec.journals_itself:
            place.kernel_info.unlink(missing_ok=True)
        write(place.owner, Owner.myself())
        write(place.spec, spec)
        log_start = place.log.stat().st_size if place.log.exists() else 0
        await self._start_keeper(place)
        state = await self._await_launch(spec.launch)
        if not state.pid:
            raise KernelError(
                f"The kernel {spec.kernel_name!r} can't be started: {state.error}",
                advice=f"Its command: {' '.join(spec.command[:4])} …",
            )
        self._set_state(state)
        self.cwd = Path(spec.cwd)
        if first and spec.journals_itself:
            await self._await_speech(spec, log_start)
        return self.connection_info

    def _describe(self, cmd: list[str], kwargs: dict[str, Any]) -> KernelSpec:
        manager, place = self.parent, self.place
        booted = through_boot(cmd, place.folder)
        environment = dict(kwargs.get("env") or os.environ)
        connection = {
            key: value.decode() if isinstance(value, bytes) else value for key, value in self.connection_info.items()
        }
        root = getattr(getattr(manager, "parent", None), "root_dir", "")
        return KernelSpec(
            kernel_id=place.kernel_id,
            kernel_name=manager.kernel_name if manager is not None else "",
            command=booted or cmd,
            environment=environment,
            cwd=str(Path(kwargs.get("cwd") or Path.cwd()).absolute()),
            connection_file=str(Path(manager.connection_file).absolute()) if manager is not None else "",
            connection=connection,
            journals_itself=booted is not None,
            root=os.path.realpath(root) if root else "",
            launch=uuid.uuid4().hex,
            quota=self.journal_mebibytes << 20,
        )

    async def _start_keeper(self, place: KernelPlace) -> None:
        code = await asyncio.to_thread(start_keeper(place).wait)
        if code:
            raise KernelError("The kernel's keeper can't be started", advice=_tail(place.keeper_log, 0))

    async def _await_launch(self, launch: str) -> KernelState:
        until = time.monotonic() + START_WITHIN
        while time.monotonic() < until:
            state = read_state(self.place.state)
            if state is not None and state.launch == launch:
                return state
            await asyncio.sleep(0.005)
        raise KernelError(
            f"The kernel's keeper has started nothing within {START_WITHIN:.0f} s",
            advice=_tail(self.place.keeper_log, 0) or "Is the disk full?",
        )

    async def _await_speech(self, spec: KernelSpec, log_start: int) -> None:
        """Until the kernel has imported what it needs: if it can't, nobody waits for it a minute long."""
        until = time.monotonic() + SPEAK_WITHIN
        while time.monotonic() < until and not self.place.hooks.exists():
            if await self.poll() is not None:
                self._state = None
                raise KernelError(
                    f"The kernel {spec.kernel_name!r} ended as soon as it was started",
                    advice=_tail(self.place.log, log_start) or f"Its command: {' '.join(spec.command[:4])} …",
                )
            await asyncio.sleep(0.02)

    async def poll(self) -> int | None:
        """None while the kernel lives, then its exit code; 1 if nobody was there to learn that."""
        if self._state is None:
            return 0
        if self._state.is_alive:
            return None
        now = read_state(self.place.state)
        if now is None or now.launch != self._state.launch or now.exit_code is None:
            return UNKNOWN_EXIT
        return now.exit_code

    async def wait(self) -> int | None:
        """Until the kernel has ended and its keeper has written down how."""
        code: int | None = 0
        if self._state is not None:
            while self._state.is_alive:
                await asyncio.sleep(0.05)
            await self._keeper_gone()
            code = await self.poll()
            self._state = None
        return code

    async def send_signal(self, signum: int) -> None:
        """Send a signal to the kernel and the processes that it has started."""
        if self._state is None or not self._state.is_alive:
            return
        try:
            os.killpg(self._state.pid, signum)
        except (ProcessLookupError, PermissionError):  # it has just ended
            pass

    async def kill(self, restart: bool = False) -> None:
        """End the kernel at once."""
        await self.send_signal(signal.SIGKILL)

    async def terminate(self, restart: bool = False) -> None:
        """Ask the kernel to end."""
        await self.send_signal(signal.SIGTERM)

    async def cleanup(self, restart: bool = False) -> None:
        """Forget what only a living kernel needs; its journal stays until its outputs have come home."""
        await super().cleanup(restart=restart)
        if not restart:
            for leftover in (self.place.waiting, self.place.policy):
                leftover.unlink(missing_ok=True)

    async def _keeper_gone(self) -> None:
        """Until the keeper of the kernel that has ended has written that down."""
        until = time.monotonic() + KEEPER_ENDS_WITHIN
        while time.monotonic() < until:
            state = read_state(self.place.state)
            if state is None or not state.is_kept or state.status == "exited":
                return
            await asyncio.sleep(0.02)

    def _set_state(self, state: KernelState) -> None:
        self._state = state
        self.pid = self.pgid = state.pid


def read_connection(file: str) -> dict[str, Any] | None:
    """What is in a connection file; None if there is none or it can't be read."""
    try:
        connection = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return connection if isinstance(connection, dict) else None


def _tail(path: Path, start: int) -> str:
    """The last lines that were written to a log from byte ``start`` on."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - LOG_TAIL))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""
