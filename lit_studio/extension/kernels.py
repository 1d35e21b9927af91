"""Jupyter's kernel manager for kernels that outlive the server: it leaves them running and takes them over again.

It must not know pages, notebooks or what a cell prints, nor how a kernel's process is kept.

jupyter-server has no way to take over a kernel that lives, so :meth:`KeptKernelManager.adopt` sets what starting one
sets. Which private names that needs is all in this file, and the tests run each act on an adopted kernel.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

from jupyter_client.ioloop.restarter import AsyncIOLoopKernelRestarter
from jupyter_client.kernelspec import KernelSpec, NoSuchKernel
from jupyter_client.session import Session
from jupyter_server.prometheus.metrics import KERNEL_CURRENTLY_RUNNING_TOTAL
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager, ServerKernelManager
from tornado.ioloop import PeriodicCallback
from tornado.web import HTTPError
from traitlets import Bool, default

from lit_studio.base.errors import InvalidStateError, InvalidValueError, KernelError, KernelNotFoundError
from lit_studio.extension.activity import Activity
from lit_studio.kernels import adoption
from lit_studio.kernels.adoption import KnownKernel
from lit_studio.kernels.boot import CANCEL
from lit_studio.kernels.provisioner import KeeperProvisioner
from lit_studio.kernels.state import IdlePolicy, Owner, read_execution, read_policy, write
from lit_studio.kernels.waiting import WaitingList

LOOK_EVERY_MS = 3000  # after dead keepers, and kernels whose server has died beside this one
UNDO_SECONDS = 10.0
WARNING_MINUTES = 5.0
ANSWERS_WITHIN = 5.0


class KeptRestarter(AsyncIOLoopKernelRestarter):
    """Starts a kernel that has died again, unless its end was wanted."""

    async def poll(self) -> None:  # type: ignore[override]  # as its superclass does
        """Look whether the kernel lives."""
        provisioner = self.kernel_manager.provisioner
        if isinstance(provisioner, KeeperProvisioner) and provisioner.ended_on_purpose:
            if provisioner.has_process and await provisioner.poll() is not None:
                self._fire_callbacks("dead")
                self.stop()
        else:
            await super().poll()


class KeptKernel(ServerKernelManager):
    """One kernel.

    Attributes:
        adopted: whether it was started by an earlier server.
        activity: what it publishes, as far as the server wants to know.
        subshells: subshells for widgets that no websocket uses now; they end with the kernel.
    """

    adopted = False
    _kernel_info_future: Future[dict[str, Any]]

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.activity: Activity | None = None
        self.subshells: list[str] = []

    @default("restarter_class")
    def _default_restarter_class(self) -> type[KeptRestarter]:
        return KeptRestarter

    @property
    def keeper(self) -> KeeperProvisioner | None:
        """What starts and ends it; None for a kernel whose kernelspec names another provisioner."""
        return self.provisioner if isinstance(self.provisioner, KeeperProvisioner) else None

    async def _async_post_start_kernel(self, **options: Any) -> None:
        await super()._async_post_start_kernel(**options)
        self.subshells.clear()  # a new process, also where the kernel was started again
        if self.activity is not None:
            self.activity.begin_anew()

    def leave_behind(self) -> None:
        """Let go of it without ending it."""
        self.stop_restarter()
        self._close_control_socket()
        self._connection_file_written = False  # else the file is removed with this object
        if self.keeper is not None:
            adoption.release(self.keeper.place)


class KeptKernelManager(AsyncMappingKernelManager):
    """All kernels of a server: they stay when it ends, and those that an earlier one left are here when it begins."""

    buffer_offline_messages = Bool(
        False,
        help="Whether messages for a page that is away are kept in the server's memory. Journals keep them on disk.",
    ).tag(config=True)

    def __init__(self, **options: Any):
        super().__init__(**options)
        self._leaving: dict[str, tuple[asyncio.TimerHandle, float]] = {}
        self._ending: set[asyncio.Future[Any]] = set()
        self._looker: PeriodicCallback | None = None

    @default("kernel_manager_class")
    def _default_kernel_manager_class(self) -> str:
        return f"{KeptKernel.__module__}.{KeptKernel.__name__}"

    async def start_kernel(self, **options: Any) -> str:  # type: ignore[override]  # as its superclass does
        """Start a kernel, and return its id; a page is told why that failed.

        Raises:
            HTTPError: it can't be started.
        """
        try:
            return await super()._async_start_kernel(**options)
        except KernelError as error:
            raise HTTPError(500, str(error).replace("%", "%%")) from error

    # Taking over -----------------------------------------------------------------------------------------------

    def adopt_all(self) -> int:
        """Take over all kernels that an earlier server of this root folder has left, and return how many."""
        began, number = time.perf_counter(), 0
        for kernel in adoption.take_orphans(os.path.realpath(self.root_dir), set(self._kernels)):
            try:
                self.adopt(kernel)
                number += 1
            except (OSError, KernelError):
                self.log.exception("The kernel %s lives but can't be taken over", kernel.place.kernel_id)
        if number:
            self.log.info("Took over %d running kernels in %.0f ms", number, 1000 * (time.perf_counter() - began))
        if self._looker is None:
            self._looker = PeriodicCallback(self._look, LOOK_EVERY_MS)
            self._looker.start()
        return number

    def adopt(self, known: KnownKernel) -> None:
        """Take over one kernel that this server owns since a moment ago.

        Args:
            known: as its files describe it.
        """
        kernel_id, spec = known.place.kernel_id, known.spec
        kernel: KeptKernel = self.kernel_manager_factory(
            connection_file=spec.connection_file,
            parent=self,
            log=self.log,
            kernel_name=spec.kernel_name,
            kernel_spec_manager=self.kernel_spec_manager,
        )
        connection: Any = known.connection
        kernel.kernel_id = kernel_id
        kernel.load_connection_info(connection)
        keeper = KeeperProvisioner(kernel_id=kernel_id, kernel_spec=_kernel_spec(kernel, known), parent=kernel)
        keeper.take_over(known.state, kernel.get_connection_info())
        kernel.provisioner, kernel.adopted = keeper, True
        launch_args: Any = {"env": spec.environment, "cwd": spec.cwd}
        kernel._launch_args = launch_args
        kernel._attempted_start = kernel._connection_file_written = True
        kernel.ready.set_result(None)
        self._kernels[kernel_id], self._kernel_connections[kernel_id] = kernel, 0
        self._kernel_ports[kernel_id] = kernel.ports
        execution = known.execution
        kernel.execution_state = execution.state if execution.state in ("busy", "starting") else "idle"
        if (info := known.kernel_info) is not None:  # a kernel that is busy would answer when it is through
            kernel._kernel_info_future = Future()  # where websockets look for it
            kernel._kernel_info_future.set_result(info)
            if kernel.execution_state == "starting":
                kernel.execution_state = "idle"  # it answered once, and hasn't run anything
        self.start_watching_activity(kernel_id)
        kernel.last_activity = datetime.fromtimestamp(execution.since or known.state.started, UTC)
        kernel.start_restarter()
        if kernel._restarter is not None:
            kernel._restarter._initial_startup = False  # it keeps its ports
        self.add_restart_callback(kernel_id, lambda: self._handle_kernel_died(kernel_id), "dead")
        KERNEL_CURRENTLY_RUNNING_TOTAL.labels(type=kernel.kernel_name).inc()
        self._write_policy(kernel_id)

    def _look(self) -> None:
        self.adopt_all()
        for kernel_id, kernel in self.kept():
            self._refresh(kernel)
            if kernel.keeper is not None and adoption.keep(kernel.keeper.place):
                self.log.warning("The keeper of kernel %s has died; it has a new one", kernel_id)

    # Leaving ---------------------------------------------------------------------------------------------------

    async def shutdown_all(self, now: bool = False) -> None:  # type: ignore[override]  # as its superclass does
        """The server ends: leave kernels running, but for those that can't be and those whose end a person wants."""
        if self._looker is not None:
            self._looker.stop()
        await asyncio.gather(*self._ending)
        kept = dict(self.kept())
        doomed = [one for one in self.list_kernel_ids() if one not in kept or one in self._leaving]
        await asyncio.gather(*(self.shutdown_kernel(one, now=now) for one in doomed))
        left = [one for one in kept if one not in doomed]
        for kernel_id in left:
            self.stop_watching_activity(kernel_id)
            self.stop_buffering(kernel_id)
            kept[kernel_id].leave_behind()
            self.remove_kernel(kernel_id)
        if left:
            self.log.info("Left %d kernels running; the next server in this folder has them again", len(left))

    def shut_down_soon(self, kernel_id: str) -> float:
        """End a kernel in :data:`UNDO_SECONDS`, and return when, in seconds since the epoch."""
        self._checked(kernel_id)
        if kernel_id not in self._leaving:
            handle = asyncio.get_running_loop().call_later(UNDO_SECONDS, self._shut_down_now, kernel_id)
            self._leaving[kernel_id] = handle, time.time() + UNDO_SECONDS
        return self._leaving[kernel_id][1]

    def stay(self, kernel_id: str) -> None:
        """Don't end it after all.

        Raises:
            KernelNotFoundError: there is no such kernel; it may have ended already.
            InvalidStateError: nobody has asked for its end.
        """
        self._checked(kernel_id)
        if kernel_id not in self._leaving:
            raise InvalidStateError("This kernel is not about to be shut down", value=kernel_id)
        self._leaving.pop(kernel_id)[0].cancel()

    def leaves_at(self, kernel_id: str) -> float | None:
        """When it will be shut down, in seconds since the epoch; None if it won't."""
        return self._leaving[kernel_id][1] if kernel_id in self._leaving else None

    def _shut_down_now(self, kernel_id: str) -> None:
        if kernel_id in self:
            task = asyncio.ensure_future(self.shutdown_kernel(kernel_id))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def remove_kernel(self, kernel_id: str) -> Any:
        """Forget a kernel, whether it lives or not."""
        if kernel_id in self._leaving:
            self._leaving.pop(kernel_id)[0].cancel()
        return super().remove_kernel(kernel_id)

    def _handle_kernel_died(self, kernel_id: str) -> None:
        kernel = self._kernels.get(kernel_id)
        if isinstance(kernel, KeptKernel) and kernel.keeper is not None:
            if not kernel.keeper.ended_on_purpose:
                self.log.error("Kernel %s can't be kept alive. Its log: %s", kernel_id, kernel.keeper.log_tail())
            self.stop_watching_activity(kernel_id)
            task = asyncio.ensure_future(kernel._async_cleanup_resources())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        super()._handle_kernel_died(kernel_id)

    # What a kernel does ----------------------------------------------------------------------------------------

    def kept(self) -> list[tuple[str, KeptKernel]]:
        """Those that outlive the server, by id."""
        return [
            (kernel_id, kernel)
            for kernel_id, kernel in self._kernels.items()
            if isinstance(kernel, KeptKernel) and kernel.keeper is not None
        ]

    def start_watching_activity(self, kernel_id: str) -> None:
        """Follow what the kernel publishes; busy is who runs a cell, not who answers a widget."""
        kernel = self._kernels[kernel_id]
        if not isinstance(kernel, KeptKernel) or kernel.keeper is None:
            super().start_watching_activity(kernel_id)
            return
        place = kernel.keeper.place
        if kernel.activity is None:
            execution = read_execution(place.execution)
            kernel.activity = Activity(kernel, WaitingList(place, execution), self._note_activity)
        kernel.reason = ""
        kernel.last_activity = datetime.now(UTC)
        kernel._activity_stream = kernel.connect_iopub()  # type: ignore[attr-defined]
        kernel._activity_stream.on_recv(kernel.activity.note)  # type: ignore[attr-defined]

    def _note_activity(self, when: datetime) -> None:
        self.last_kernel_activity = when

    def kernel_model(self, kernel_id: str) -> dict[str, Any]:
        """The kernel as the REST API shows it."""
        self._check_kernel_id(kernel_id)
        kernel = self._kernels[kernel_id]
        if isinstance(kernel, KeptKernel):
            self._refresh(kernel)
        return super().kernel_model(kernel_id)

    def _refresh(self, kernel: KeptKernel) -> None:
        """Take the kernel's own word: a status message may be lost where very many messages are published."""
        if kernel.keeper is not None and kernel.execution_state in ("busy", "idle"):
            state = read_execution(kernel.keeper.place.execution).state
            if state in ("busy", "idle"):
                kernel.execution_state = state

    async def cancel_request(self, kernel_id: str, msg_id: str) -> None:
        """Have a request that waits not run.

        Raises:
            KernelNotFoundError: no such kernel, or no such request waits in it.
            InvalidStateError: it runs already, or the kernel can't leave out a single request.
        """
        kernel = self._checked(kernel_id)
        assert kernel.keeper is not None
        place, waiting = kernel.keeper.place, kernel.activity.waiting if kernel.activity else None
        execution = read_execution(place.execution)
        if execution.state == "busy" and execution.msg_id == msg_id:
            raise InvalidStateError("This cell runs already", advice="Interrupt the kernel to stop it.")
        if waiting is None or msg_id not in waiting:
            raise KernelNotFoundError("No request of this id waits in the kernel", value=msg_id)
        try:
            can = json.loads(place.hooks.read_text(encoding="utf-8"))["cancel"]
        except (OSError, ValueError, KeyError):
            can = False
        if not can:
            raise InvalidStateError("This kernel can't leave out a single cell", advice="Interrupt it instead.")
        reply = await self._ask_control(kernel, CANCEL, {"msg_ids": [msg_id]})
        waiting.remove(msg_id)
        if msg_id in reply.get("begun", ()):
            raise InvalidStateError("This cell has begun in this moment", advice="Interrupt the kernel to stop it.")

    async def _ask_control(self, kernel: KeptKernel, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """Send a request over the control channel, which a running cell doesn't hold up, and return the answer."""
        session = Session(config=kernel.session.config, key=kernel.session.key)
        stream: Any = kernel.connect_control()
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def on_reply(frames: list[bytes]) -> None:
            if not reply.done():
                reply.set_result(session.deserialize(session.feed_identities(frames)[1])["content"])

        stream.on_recv(on_reply)
        try:
            session.send(stream, kind, content)
            return await asyncio.wait_for(reply, ANSWERS_WITHIN)
        except TimeoutError:
            raise KernelError(
                f"The kernel doesn't answer within {ANSWERS_WITHIN:.0f} s", advice="Interrupt or restart it."
            ) from None
        finally:
            stream.close()

    def _checked(self, kernel_id: str) -> KeptKernel:
        kernel = dict(self.kept()).get(kernel_id)
        if kernel is None:
            raise KernelNotFoundError("There is no kernel of this id here", value=kernel_id)
        return kernel

    # Idle kernels ----------------------------------------------------------------------------------------------

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """End a kernel that has been idle for long, unless its keeper does that."""
        kernel = self._kernels[kernel_id]
        if not isinstance(kernel, KeptKernel) or kernel.keeper is None:
            await super().cull_kernel_if_idle(kernel_id)

    def keep_awake(self, kernel_id: str, hours: float | None) -> None:
        """Don't end a kernel for being idle.

        Args:
            kernel_id: which.
            hours: for so long from now; None for ever, 0 no longer.

        Raises:
            InvalidValueError: ``hours`` is less than 0.
        """
        self._checked(kernel_id)
        if hours is not None and not 0 <= hours < math.inf:
            raise InvalidValueError("hours has to be a number", value=hours, valid="0 or more, or null for ever")
        until = math.inf if hours is None else time.time() + 3600.0 * hours
        self._write_policy(kernel_id, until if until > time.time() else None)

    def notify_connect(self, kernel_id: str) -> None:
        """A page looks at the kernel."""
        super().notify_connect(kernel_id)
        self._write_policy(kernel_id)

    def notify_disconnect(self, kernel_id: str) -> None:
        """A page looks no longer."""
        super().notify_disconnect(kernel_id)
        self._write_policy(kernel_id)

    async def _finish_kernel_start(self, kernel_id: str) -> None:
        await super()._finish_kernel_start(kernel_id)
        self._write_policy(kernel_id)

    def _write_policy(self, kernel_id: str, *awake_until: float | None) -> None:
        """Tell the keeper; ``awake_until`` stays what it was if it isn't given."""
        kernel = self._kernels.get(kernel_id)
        if not isinstance(kernel, KeptKernel) or kernel.keeper is None:
            return
        place, me = kernel.keeper.place, Owner.myself()
        metadata = getattr(kernel.kernel_spec, "metadata", None) or {}
        seconds = metadata.get("cull_idle_timeout", self.cull_idle_timeout)
        idle = seconds / 60.0 if seconds > 0 else None
        policy = IdlePolicy(
            idle_minutes=idle,
            warning_minutes=min(WARNING_MINUTES, (idle or 0.0) / 4),
            awake_until=awake_until[0] if awake_until else read_policy(place.policy).awake_until,
            connections=0 if self.cull_connected else self._kernel_connections.get(kernel_id, 0),
            server_pid=me.pid,
            server_started=me.started,
        )
        try:
            write(place.policy, policy)
        except OSError as error:
            self.log.warning("The idle policy of kernel %s can't be written: %s", kernel_id, error)


def _kernel_spec(kernel: KeptKernel, known: KnownKernel) -> Any:
    """The kernelspec; a stand-in if it has been removed, so that the kernel can at least be used and ended."""
    try:
        return kernel.kernel_spec
    except NoSuchKernel:
        kernel._kernel_spec = KernelSpec(argv=known.spec.command, display_name=known.spec.kernel_name)
        return kernel._kernel_spec
