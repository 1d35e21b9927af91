"""Running a notebook's cells in a kernel of its own, one after another, so that it can be stopped at any time.

It must not know the terminal: it changes the notebook in memory and says how it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

State = Literal["finished", "failed", "interrupted", "terminated", "timeout"]
LOOK_EVERY = 0.25
PATIENCE = 10.0
"""Seconds that a kernel has to end its cell after an interrupt that no person can repeat."""
_SOCKET_PATH = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended.

    Attributes:
        state: ``finished``, ``failed`` (a cell raised an error, or the kernel died), or who stopped it.
        cell: index of the cell that failed or was stopped, None when finished.
        error: the failure in words, its traceback included, with the colours that IPython gave it.
        started: when it began, seconds since the epoch.
        seconds: how long it took.
        kernel_pid: the kernel's process id, 0 if it never started.
    """

    state: State
    cell: int | None
    error: str
    started: float
    seconds: float
    kernel_pid: int


class Execution:
    """Runs ``notebook`` (changed in place) with the folder ``cwd`` as the kernel's.

    Args:
        notebook: what to run.
        path: where it lies; the kernel's runs name it.
        kernel_name: the kernel to start.
        timeout: seconds after which it is stopped, None for never.
    """

    def __init__(self, notebook: NotebookNode, path: Path, kernel_name: str, timeout: float | None = None):
        self.notebook, self._path = notebook, path
        self._kernel_name, self._timeout = kernel_name, timeout
        self.cell = 0
        self.kernel_pid = 0
        self._stopped: State | None = None
        self._cell_runs = False
        self._manager: Any = None
        self._tasks: set[asyncio.Future[Any]] = set()

    def run(self, watch: Callable[[], None]) -> Outcome:
        """Run all cells; ``watch`` is called four times a second meanwhile.

        The first ^C (or SIGTERM) interrupts the running cell and no further one is begun; the second ends the kernel.

        Raises:
            jupyter_client.kernelspec.NoSuchKernel: there is no kernel of that name.
        """
        return asyncio.run(self._run(watch))

    async def _run(self, watch: Callable[[], None]) -> Outcome:
        started, began = time.time(), time.monotonic()
        with tempfile.TemporaryDirectory(prefix="lit-studio-") as folder:
            errors = Path(folder) / "stderr"
            self._manager = AsyncKernelManager(kernel_name=self._kernel_name, **_transport(Path(folder)))
            client = _Client(
                self.notebook,
                km=self._manager,
                kernel_name=self._kernel_name,
                timeout=None,
                coalesce_streams=True,
                # What the widgets knew costs tens of kilobytes and can't be shown without this very kernel.
                store_widget_state=False,
            )
            client.begun = self._begun
            error = ""
            with errors.open("wb") as stderr:
                try:
                    await self._execute(client, stderr, watch)
                except CellExecutionError as failure:
                    error = _traceback(self.notebook.cells[self.cell]) or str(failure)
                except DeadKernelError as death:
                    error = _last_words(death, errors)
        state = self._stopped or ("failed" if error else "finished")
        cell = None if state == "finished" else self.cell
        return Outcome(state, cell, error, started, time.monotonic() - began, self.kernel_pid)

    async def _execute(self, client: NotebookClient, stderr: Any, watch: Callable[[], None]) -> None:
        environment = {**os.environ, "JPY_SESSION_NAME": str(self._path), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        # What the kernel's process writes past Jupyter must not get between our own results.
        streams = {"stdout": subprocess.DEVNULL, "stderr": stderr}
        options = {"cwd": str(self._path.parent), "env": environment, **streams}
        self._listen()
        if self._timeout is not None:
            asyncio.get_running_loop().call_later(self._timeout, self._stop, "timeout")
        try:
            await client.async_start_new_kernel(**options)
            await client.async_start_new_kernel_client()
        except RuntimeError as error:  # it died, perhaps because we were asked to stop
            await self._manager.shutdown_kernel(now=True)
            raise DeadKernelError(str(error)) from error
        self.kernel_pid = getattr(self._manager.provisioner, "pid", 0) or 0
        async with client.async_setup_kernel(cleanup_kc=True):
            self._listen()  # again: nbclient's own handlers would end the kernel at once and lose the cell's outputs
            watching = asyncio.ensure_future(_repeat(watch))
            try:
                assert client.kc is not None
                reply = await client.async_wait_for_reply(client.kc.kernel_info())
                if reply is not None:
                    self.notebook.metadata["language_info"] = reply["content"]["language_info"]
                for index, cell in enumerate(self.notebook.cells):
                    self.cell, self._cell_runs = index, False
                    if self._stopped is not None:
                        return
                    await client.async_execute_cell(cell, index, execution_count=client.code_cells_executed + 1)
            finally:
                watching.cancel()
                for task in self._tasks:
                    task.cancel()

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(signal.SIGINT, self._stop, "interrupted")
            loop.add_signal_handler(signal.SIGTERM, self._stop, "terminated")

    def _stop(self, why: State) -> None:
        if self._stopped is not None:
            self._keep(self._manager.shutdown_kernel(now=True))
            return
        self._stopped = why
        if self._cell_runs:
            self._keep(self._manager.interrupt_kernel())
        if why != "interrupted":
            self._keep(self._end_later())

    def _begun(self) -> None:
        # An idle kernel takes no notice of an interrupt: one that came before the cell had begun is sent now.
        self._cell_runs = True
        if self._stopped is not None:
            self._keep(self._manager.interrupt_kernel())

    async def _end_later(self) -> None:
        await asyncio.sleep(PATIENCE)
        await self._manager.shutdown_kernel(now=True)

    def _keep(self, work: Any) -> None:
        async def quietly() -> None:
            with contextlib.suppress(RuntimeError):  # there is no kernel yet, or none any more
                await work

        self._tasks.add(asyncio.ensure_future(quietly()))


class _Client(NotebookClient):
    """Tells when the kernel has really begun with a cell."""

    begun: Callable[[], None]

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        if msg["msg_type"] == "execute_input":
            self.begun()
        return super().process_message(msg, cell, cell_index)


async def _repeat(watch: Callable[[], None]) -> None:
    while True:
        watch()
        await asyncio.sleep(LOOK_EVERY)


def _transport(folder: Path) -> dict[str, Any]:
    # Sockets in a folder of ours rather than TCP ports: nobody else on the machine can reach the kernel.
    file = folder / "kernel.json"
    if sys.platform == "win32" or len(str(file)) > _SOCKET_PATH:
        return {"connection_file": str(file)}
    return {"connection_file": str(file), "transport": "ipc"}


def _traceback(cell: NotebookNode) -> str:
    found = [output for output in cell.outputs if output.output_type == "error"]
    return "\n".join(found[-1].traceback) if found else ""


def _last_words(death: DeadKernelError, errors: Path) -> str:
    lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-20:]
    return "\n".join([f"{death}. A machine that runs out of memory ends processes without a word.", *lines])
