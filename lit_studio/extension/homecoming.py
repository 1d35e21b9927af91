"""Brings outputs home: into the notebook's file, or its open room, when a kernel is idle or dead and no page looks.

It must not know how outputs are made from a journal, nor which cell they belong to; it knows when, and where from.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.contents.fileio import FileManagerMixin
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.utils import to_os_path
from tornado.web import HTTPError

from lit_studio.base.errors import InvalidValueError
from lit_studio.extension.kernels import KeptKernel
from lit_studio.extension.rooms import open_room
from lit_studio.kernels.exchange import Reading, replace
from lit_studio.kernels.homecoming import Outcome, bring_home, dump, find_notebooks
from lit_studio.kernels.outcomes import HomeRecord, KernelOutcomes, journal_look
from lit_studio.kernels.places import KernelPlace, all_places
from lit_studio.kernels.reducer import RequestOutputs
from lit_studio.kernels.state import read_execution, read_owner, read_state

EVERY = 1.0  # seconds between looks
DEAD_EVERY = 5.0  # between looks at kernels that this server doesn't run
SECOND_LOOK = 1.0  # after a write: an editor that had read the file before may just now write it back
PAGE_GRACE = 150.0  # for a page whose kernel ended: JupyterLab saves by itself each 120 s
SEARCH_EVERY = 30.0  # between searches for a notebook that isn't where it was
TRIES = 20

Finished = list[Outcome]


class _Kernel:
    """What this server remembers of one kernel while it runs."""

    def __init__(self, place: KernelPlace):
        self.place = place
        self.outcomes = KernelOutcomes(place)
        # When a page was last connected, by the monotonic clock. At first one may be about to: servers are restarted.
        self.looked_at = time.monotonic()
        self.quiet: tuple[str, list[str]] | None = None  # the journal's look and the notebooks when all was settled
        self.had_page = False
        self.sessions: set[str] = set()  # client sessions of the pages that were connected last
        self.followers: set[str] = set()  # those that took a snapshot
        self.not_before = 0.0
        self.used = time.monotonic()


class Homecoming:
    """Watches over all kernels' outputs.

    Args:
        server: whose kernels, sessions and contents these are.
        grace: seconds without a page before outputs go into the file.
    """

    def __init__(self, server: ServerApp, grace: float = 2.0):
        self._server, self._grace = server, grace
        self._log: logging.Logger = server.log
        self._kernels: dict[str, _Kernel] = {}
        self._task: asyncio.Task[None] | None = None
        self._looked_at_dead = -DEAD_EVERY
        self._writing = ""

    def start(self) -> None:
        """Begin to watch; needs a running event loop."""
        self._server.contents_manager.register_post_save_hook(self._on_save)
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """Watch no longer; a write that has begun comes to its end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def snapshot(self, kernel_id: str, session: str = "") -> dict[str, Any] | None:
        """What a page needs to go on with this kernel; None if there is no such kernel.

        Args:
            kernel_id: the kernel's.
            session: the page's client session; what it saves from now on counts for all that it was told.
        """
        place = KernelPlace.of(kernel_id)
        if not await asyncio.to_thread(place.journal.is_dir):
            return None
        kernel = self._kernel(kernel_id)
        found = await asyncio.to_thread(kernel.outcomes.snapshot)
        if session:
            kernel.followers.add(session)
        record = await asyncio.to_thread(HomeRecord.read, place)
        begun = {request["msg_id"] for request in found["requests"]}
        found["requests"] += [one for one in self._queue(kernel_id) if one["msg_id"] not in begun]
        home = {"paths": record.paths, "problem": record.problem}
        return {"kernel": kernel_id, **found, "home": home}

    def _queue(self, kernel_id: str) -> list[dict[str, Any]]:
        """The requests that wait for the kernel, the next one first."""
        kernels = self._server.kernel_manager
        kernel = kernels.get_kernel(kernel_id) if kernel_id in kernels else None
        activity = kernel.activity if isinstance(kernel, KeptKernel) else None
        return [
            RequestOutputs(
                one.msg_id, one.cell_id, one.session, "", None, "queued", None, None, 0, one.since, {}, []
            ).json()
            for one in (activity.waiting.requests() if activity is not None else ())
        ]

    # When -------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - logged, and the next look may succeed
                self._log.exception("Lit Studio could not look after the kernels' outputs")
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """One round over all kernels."""
        paths = await self._paths()
        living = set(self._server.kernel_manager.list_kernel_ids())
        found = [(kernel_id, True) for kernel_id in sorted(living)]
        if time.monotonic() - self._looked_at_dead >= DEAD_EVERY:
            self._looked_at_dead = time.monotonic()
            found += [(kernel_id, False) for kernel_id in await asyncio.to_thread(_dead_kernels, living)]
        for kernel_id, is_living in found:
            try:
                await self._consider(kernel_id, is_living, paths.get(kernel_id, {}))
            except Exception:  # noqa: BLE001 - logged, and other kernels wait
                self._log.exception("Lit Studio could not bring home the outputs of kernel %s", kernel_id)
        self._forget(living)

    async def _consider(self, kernel_id: str, is_living: bool, paths: dict[str, str]) -> None:
        place, now = KernelPlace.of(kernel_id), time.monotonic()
        look = journal_look(place.journal)
        if not look:
            return
        kernel = self._kernel(kernel_id)
        if is_living and self._pages(kernel_id):
            kernel.looked_at, kernel.had_page = now, True
            kernel.sessions = _open_sessions(kernel_id)
        if kernel.quiet == (look, list(paths.values())):
            return
        record = await asyncio.to_thread(HomeRecord.read, place)
        if paths and record.paths != list(paths.values()):
            record.paths = list(paths.values())
            await asyncio.to_thread(record.write, place)
        if look == record.seen:
            kernel.quiet = (look, list(paths.values()))
            return
        grace = self._grace if is_living or not kernel.had_page else max(PAGE_GRACE, self._grace)
        if kernel.looked_at == now or now < max(kernel.not_before, kernel.looked_at + grace):
            return
        if is_living and read_execution(place.execution).state == "busy":
            return
        with _only_one(place) as is_ours:
            if is_ours:
                await self._bring(kernel_id, kernel, look, paths)

    async def _bring(self, kernel_id: str, kernel: _Kernel, look: str, sessions: dict[str, str]) -> None:
        place = kernel.place
        record = await asyncio.to_thread(HomeRecord.read, place)
        requests = await asyncio.to_thread(kernel.outcomes.requests)
        if any(request.state in ("running", "queued") for request in requests):
            return
        due = record.due(requests)
        if due:
            found = await self._notebooks(record, due, sessions)
            if isinstance(found, str):
                kernel.not_before = time.monotonic() + SEARCH_EVERY
                if found != record.problem:
                    self._log.warning("Outputs of kernel %s stay in its journal: %s", kernel_id, found)
                    record.problem = found
                    await asyncio.to_thread(record.write, place)
                return
            began = time.perf_counter()
            finished = await self._put(found, due, lambda: not self._pages(kernel_id))
            if finished is None:
                return
            if any(one.how in ("written", "recovered") for one in finished):
                kernel.not_before = time.monotonic() + SECOND_LOOK
                milliseconds = 1000 * (time.perf_counter() - began)
                self._log.info("Outputs of %d cells are in %s (%.0f ms)", len(finished), found[0], milliseconds)
                return
        record = await asyncio.to_thread(HomeRecord.read, place)  # a page may have saved meanwhile
        record.settle(requests, look)
        await asyncio.to_thread(record.write, place)

    # Where ------------------------------------------------------------------------------------------------------

    async def _paths(self) -> dict[str, dict[str, str]]:
        """The notebooks of each kernel: session ids and absolute paths."""
        contents = self._server.contents_manager
        found: dict[str, dict[str, str]] = {}
        if not isinstance(contents, FileManagerMixin):  # they aren't files
            return found
        root = str(Path(self._server.root_dir).resolve())
        for session in await self._server.session_manager.list_sessions():
            if session["type"] == "notebook" and session.get("kernel"):
                path = to_os_path(session["path"], root)
                found.setdefault(session["kernel"]["id"], {})[session["id"]] = path
        return found

    async def _notebooks(
        self, record: HomeRecord, due: list[RequestOutputs], sessions: dict[str, str]
    ) -> list[Path] | str:
        """The notebooks to write to, or why there is none."""
        root = Path(self._server.root_dir).resolve()
        existing = [Path(path) for path in record.paths if await asyncio.to_thread(os.path.isfile, path)]
        if existing:
            inside = [path for path in existing if path.resolve().is_relative_to(root)]
            return inside or "its notebook is outside this server's folder."
        name = Path(record.paths[0]).name if record.paths else "its notebook"
        found = await asyncio.to_thread(find_notebooks, root, due)
        if not found:
            return f"{name} is gone."
        if len(found) > 1:
            return f"{name} is gone, and several notebooks have its cells: {', '.join(one.name for one in found)}."
        self._log.warning("%s is gone; its cells are in %s", name, found[0])
        for session_id in sessions:
            path = found[0].relative_to(root).as_posix()
            await self._server.session_manager.update_session(session_id, path=path, name=found[0].name)
        record.paths = [str(found[0])]
        return found

    # How --------------------------------------------------------------------------------------------------------

    async def _put(self, paths: list[Path], due: list[RequestOutputs], go_on: Callable[[], bool]) -> Finished | None:
        """Put what is due into the notebooks; None if something came between."""
        if len(paths) == 1:
            return await self._put_into(paths[0], due, True, go_on)
        finished: Finished = []
        for path in paths:  # several share the kernel: each gets what has its cells
            found = await self._put_into(path, due, False, go_on)
            if found is None:
                return None
            finished += [one for one in found if one.how != "missing"]
            missing = {one.msg_id for one in found if one.how == "missing"}
            due = [request for request in due if request.msg_id in missing]
        rest = await self._put_into(paths[0], due, True, go_on) if due else []
        return None if rest is None else finished + rest

    async def _put_into(
        self, path: Path, due: list[RequestOutputs], recover: bool, go_on: Callable[[], bool]
    ) -> Finished | None:
        room = await open_room(self._server, path)
        if room is not None:
            return room.bring_home(due, recover)
        for _ in range(TRIES):
            before = await asyncio.to_thread(Reading.of, path)
            try:
                finished, notebook, content = await asyncio.to_thread(_compose, before.content, due, recover)
            except ValueError:  # it is being written in place, and this is half of it
                await asyncio.sleep(0.1)
                continue
            if not any(one.how in ("written", "recovered") for one in finished):
                return finished
            content = self._hooked(path, notebook, content)
            self._sign(before.content, content, finished)
            self._writing = str(before.path)
            try:
                if await asyncio.to_thread(replace, before, content, go_on):
                    return finished
            finally:
                self._writing = ""
            if not go_on():
                return None
        return None

    def _hooked(self, path: Path, notebook: dict[str, Any], content: bytes) -> bytes:
        """What the hooks that a person has set before saving make of it: they may well strip outputs."""
        contents = self._server.contents_manager
        if contents.pre_save_hook is None and not getattr(contents, "_pre_save_hooks", None):
            return content
        node = nbformat.reads(content.decode(), as_version=4)
        model = {"type": "notebook", "format": "json", "content": node}
        api_path = path.resolve().relative_to(Path(self._server.root_dir).resolve()).as_posix()
        contents.run_pre_save_hooks(model=model, path=api_path)
        return (nbformat.writes(model["content"]) + "\n").encode()

    def _sign(self, before: bytes, after: bytes, finished: Finished) -> None:
        """Trust the new file if the old one was, but for cells that this user has run.

        In the event loop's thread: the notary's database is bound to it.
        """
        notary = self._server.contents_manager.notary
        old, new = _node(before), _node(after)
        if old is None or new is None:
            return
        notary.mark_cells(new, notary.check_signature(old))
        for one in finished:
            if one.cell is not None:
                new.cells[one.cell].metadata["trusted"] = True
        if notary.check_cells(new):  # this takes the marks off again
            notary.sign(new)

    # Pages ------------------------------------------------------------------------------------------------------

    def _pages(self, kernel_id: str) -> int:
        """How many websockets look at the kernel."""
        try:
            return int(self._server.kernel_manager.kernel_model(kernel_id)["connections"])
        except (HTTPError, KeyError):  # ended in this very moment
            return 0

    def _on_save(self, os_path: str, **_: Any) -> None:
        """A page that is connected and saves has the last word on what it has seen."""
        saved = os.path.realpath(os_path)
        for kernel_id, kernel in list(self._kernels.items()):
            sessions = _open_sessions(kernel_id)
            if kernel_id not in self._server.kernel_manager:  # the page stays when its kernel has ended
                sessions = kernel.sessions
            if not sessions:
                continue
            record = HomeRecord.read(kernel.place)
            if saved in map(os.path.realpath, record.paths):
                record.note_save(sessions, bool(sessions & kernel.followers), time.time())
                record.write(kernel.place)

    def _kernel(self, kernel_id: str) -> _Kernel:
        kernel = self._kernels.get(kernel_id)
        if kernel is None:
            kernel = self._kernels[kernel_id] = _Kernel(KernelPlace.of(kernel_id))
        kernel.used = time.monotonic()
        return kernel

    def _forget(self, living: set[str]) -> None:
        for kernel_id, kernel in list(self._kernels.items()):
            if kernel_id not in living and time.monotonic() - kernel.used > 2 * PAGE_GRACE:
                del self._kernels[kernel_id]


def _compose(before: bytes, due: list[RequestOutputs], recover: bool) -> tuple[Finished, dict[str, Any], bytes]:
    notebook = json.loads(before)
    if not isinstance(notebook, dict):
        raise InvalidValueError("This is no notebook", valid="a JSON object")
    finished = bring_home(notebook, due, recover)
    changed = any(one.how in ("written", "recovered") for one in finished)
    return finished, notebook, dump(notebook, before) if changed else before


def _node(content: bytes) -> Any:
    try:
        return nbformat.reads(content.decode(), as_version=4)
    except (ValueError, nbformat.reader.NotJSONError):
        return None


def _open_sessions(kernel_id: str) -> set[str]:
    """The client sessions of the pages that are connected to the kernel."""
    opened = ZMQChannelsWebsocketConnection._open_sessions
    return {key.partition(":")[2] for key in opened if key.startswith(f"{kernel_id}:")}


def _dead_kernels(living: set[str]) -> list[str]:
    """Kernels that nobody runs any more."""
    found = []
    for place in all_places():
        if place.kernel_id not in living:
            state = read_state(place.state)
            owner = read_owner(place.owner)
            is_others = owner.is_alive and owner.pid != os.getpid()
            if state is not None and state.status != "starting" and not state.is_alive and not is_others:
                found.append(place.kernel_id)
    return found


@contextlib.contextmanager
def _only_one(place: KernelPlace) -> Iterator[bool]:
    """Whether no other server does this now; servers of one user share the kernels' folders."""
    descriptor = os.open(place.folder / "home.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
