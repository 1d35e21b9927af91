"""Kernels that outlive the server: what they do, how long they may be idle, their end, and cells that wait in them.

It must not know how any of that is done.
"""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

from jupyter_core.utils import ensure_async
from tornado.web import HTTPError

from lit_studio.base.errors import InvalidTypeError
from lit_studio.extension.activity import last_printed
from lit_studio.extension.handlers.web import LitStudioHandler, allowed
from lit_studio.extension.kernels import KeptKernel, KeptKernelManager
from lit_studio.kernels.state import read_execution, read_policy, read_state


class _KernelsHandler(LitStudioHandler):
    @property
    def kernels(self) -> KeptKernelManager:
        """All kernels.

        Raises:
            HTTPError: this server's kernels end with it.
        """
        found = self.studio.kernels
        if found is None:
            raise HTTPError(404, f"Kernels are not persistent here: {self.studio.persistence.reason}")
        return found


class KernelsHandler(_KernelsHandler):
    """All kernels that outlive the server."""

    _track_activity = False

    @allowed("read")
    async def get(self) -> None:
        """Answer with what each of them does."""
        kernels = self.studio.kernels
        sessions: list[dict[str, Any]] = await ensure_async(self.session_manager.list_sessions())
        paths = {session["kernel"]["id"]: session["path"] for session in sessions if session.get("kernel")}
        kept = kernels.kept() if kernels is not None else []
        found = [await self._describe(kernel_id, kernel, paths.get(kernel_id, "")) for kernel_id, kernel in kept]
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(found))

    async def _describe(self, kernel_id: str, kernel: KeptKernel, path: str) -> dict[str, Any]:
        assert kernel.keeper is not None
        place, activity = kernel.keeper.place, kernel.activity
        if activity is not None and activity.last_output is None:
            line = await asyncio.to_thread(last_printed, place)
            activity.last_output = activity.last_output or line
        execution, state, policy = read_execution(place.execution), read_state(place.state), read_policy(place.policy)
        return {
            "id": kernel_id,
            "name": kernel.kernel_name,
            "path": path,
            "state": kernel.execution_state or "unknown",
            "execution": {
                "state": execution.state,
                "since": execution.since,
                "msg_id": execution.msg_id,
                "cell_id": execution.cell_id,
                "count": execution.count,
            },
            "queued": len(activity.waiting) if activity is not None else 0,
            "queue": [one.msg_id for one in activity.waiting.requests()] if activity is not None else [],
            "started": state.started if state is not None else 0.0,
            "pid": kernel.keeper.pid,
            "last_output": (activity.last_output or "") if activity is not None else "",
            "adopted": kernel.adopted,
            "awake": "forever" if policy.awake_until == math.inf else policy.awake_until,
            "cull_at": state.cull_at if state is not None else None,
            "shutdown_at": self.kernels.leaves_at(kernel_id),
        }


class AwakeHandler(_KernelsHandler):
    """Whether a kernel may be ended for being idle."""

    @allowed("execute")
    async def post(self, kernel_id: str) -> None:
        """Keep it for the body's ``hours``: null for ever, 0 no longer."""
        hours = self.get_json_object().get("hours", 0)
        if hours is not None and (isinstance(hours, bool) or not isinstance(hours, int | float)):
            raise InvalidTypeError("hours has to be a number or null", value=hours, valid="e.g. 8")
        self.kernels.keep_awake(kernel_id, hours)
        self.set_status(204)


class ShutdownHandler(_KernelsHandler):
    """A kernel's end, which a person may regret."""

    @allowed("execute")
    async def post(self, kernel_id: str) -> None:
        """End it in some seconds, and answer with when."""
        at = self.kernels.shut_down_soon(kernel_id)
        self.set_status(202)
        self.finish(json.dumps({"at": at}))

    @allowed("execute")
    async def delete(self, kernel_id: str) -> None:
        """Don't."""
        self.kernels.stay(kernel_id)
        self.set_status(204)


class QueueHandler(_KernelsHandler):
    """A cell that waits in a kernel."""

    @allowed("execute")
    async def delete(self, kernel_id: str, msg_id: str) -> None:
        """Have it not run."""
        await self.kernels.cancel_request(kernel_id, msg_id)
        self.set_status(204)
