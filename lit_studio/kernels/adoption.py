"""Finds kernels that outlived their server, and hands each to one server only.

It must not know how a server talks to kernels. Nothing here reads a journal: some small files say all that a server
needs, however long a kernel has run.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from jupyter_client.connect import KernelConnectionInfo

from lit_studio.kernels.places import KernelPlace, all_places
from lit_studio.kernels.provisioner import read_connection, start_keeper
from lit_studio.kernels.state import (
    Execution,
    KernelSpec,
    KernelState,
    Owner,
    read_execution,
    read_owner,
    read_spec,
    read_state,
    write,
    write_json,
)

ANSWERS_WITHIN = 2.0  # seconds
REMEMBER_DAYS = 7.0  # what is known of a kernel that has ended, its journal with it


@dataclass(frozen=True)
class KnownKernel:
    """A kernel as its files describe it.

    Attributes:
        place: its folder.
        spec: how it was started.
        state: what its keeper knows.
        owner: which server has it.
    """

    place: KernelPlace
    spec: KernelSpec
    state: KernelState
    owner: Owner

    @property
    def execution(self) -> Execution:
        """What it does now."""
        return read_execution(self.place.execution)

    @property
    def kernel_info(self) -> dict[str, Any] | None:
        """What it once answered to ``kernel_info_request``; None if nobody has asked yet."""
        try:
            info = json.loads(self.place.kernel_info.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return info if isinstance(info, dict) else None

    @property
    def connection(self) -> dict[str, Any]:
        """The content of its connection file, which is written anew if somebody has removed it."""
        found = read_connection(self.spec.connection_file)
        if found is None:
            found = self.spec.connection
            write_json(Path(self.spec.connection_file), found)
        return found


def known_kernels(living: bool = True) -> Iterator[KnownKernel]:
    """Kernels of this user that were started here, with whatever server; by default only those that live."""
    for place in all_places():
        spec, state = read_spec(place.spec), read_state(place.state)
        if spec is not None and state is not None and (state.is_alive or not living):
            yield KnownKernel(place, spec, state, read_owner(place.owner))


def take_orphans(root: str, known: set[str]) -> Iterator[KnownKernel]:
    """Take over each living kernel that was started under ``root`` and whose server is dead.

    Args:
        root: the server's root folder, without symbolic links in it.
        known: ids of kernels to pass over.
    """
    for kernel in known_kernels():
        mine = kernel.place.kernel_id not in known and kernel.spec.root == root
        if mine and not kernel.owner.is_alive and _claim(kernel.place):
            keep(kernel.place)
            yield kernel


def keep(place: KernelPlace) -> bool:
    """Put a keeper around a living kernel that has none; whether there was need to. Returns before it has begun."""
    state = read_state(place.state)
    if state is None or not state.is_alive or state.is_kept:
        return False
    _REAPED.append(start_keeper(place, "--adopt"))  # it ends in a moment; whoever comes next collects it
    _REAPED[:] = [process for process in _REAPED if process.poll() is None]
    return True


_REAPED: list[subprocess.Popen[bytes]] = []


def release(place: KernelPlace) -> None:
    """Say that this server is leaving the kernel behind; another one may take it."""
    if place.folder.is_dir():
        write(place.owner, Owner())


def _claim(place: KernelPlace) -> bool:
    """Become the kernel's owner, unless another server does so in this moment."""
    lock = os.open(place.folder / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if read_owner(place.owner).is_alive:
            return False
        write(place.owner, Owner.myself(adopted=True))
        return True
    finally:
        os.close(lock)


def sweep(now: float) -> None:
    """Forget kernels that ended more than :data:`REMEMBER_DAYS` ago, and those that never began.

    Args:
        now: seconds since the epoch.
    """
    for place in all_places():
        state = read_state(place.state)
        if state is not None:
            lives = state.is_alive or state.is_kept
            last = state.ended or _changed(place.journal) or state.started
        else:
            lives, last = False, _changed(place.folder)
        if not lives and now - last > REMEMBER_DAYS * 86400:
            shutil.rmtree(place.folder, ignore_errors=True)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def stop(kernel: KnownKernel, ask_first: bool, patience: float) -> bool:
    """End a kernel, with or without a server; whether it is gone.

    Args:
        kernel: which.
        ask_first: send a ``shutdown_request`` before any signal.
        patience: seconds it has after each step.
    """
    kernel.place.ending.touch(mode=0o600)  # its server is not to start it again
    steps = [*([_ask] if ask_first else []), _terminate, _kill]
    for step in steps:
        step(kernel)
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if not kernel.state.is_alive:
                return True
            time.sleep(0.05)
    return False


def _ask(kernel: KnownKernel) -> None:
    from jupyter_client.blocking.client import BlockingKernelClient

    client = BlockingKernelClient()
    client.load_connection_info(cast(KernelConnectionInfo, kernel.connection))
    client.control_channel.start()
    try:
        client.shutdown(reply=True, timeout=ANSWERS_WITHIN)
    except TimeoutError:
        pass  # it doesn't hear; the signals come next
    finally:
        client.stop_channels()


def _terminate(kernel: KnownKernel) -> None:
    _signal(kernel, 15)


def _kill(kernel: KnownKernel) -> None:
    _signal(kernel, 9)


def _signal(kernel: KnownKernel, number: int) -> None:
    try:
        if kernel.state.is_alive:
            os.killpg(kernel.state.pid, number)
    except (ProcessLookupError, PermissionError):
        pass
