"""The whole at a glance: version, devices, kernels and runs.

It must not know how any of them is found out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from jupyter_core.utils import ensure_async

from lit_studio.base.settings import resolve
from lit_studio.extension.handlers.web import LitStudioHandler, allowed


async def _answer(method: Callable[[], Any]) -> Any:
    """What a method of Jupyter's managers answers, which may or may not be a coroutine."""
    return await ensure_async(method())


class InfoHandler(LitStudioHandler):
    """Which Lit Studio this is."""

    _track_activity = False

    @allowed("read")
    async def get(self) -> None:
        """Answer with the version and the mode that runs in the root directory have."""
        mode = await asyncio.to_thread(resolve, "mode", self.studio.places.root)
        persistence = self.studio.persistence
        about_kernels = {"on": persistence.on, "reason": persistence.reason}
        answer = {"version": self.studio.version, "mode": mode.value, "persistent_kernels": about_kernels}
        self.finish(json.dumps(answer))


class StudioHandler(LitStudioHandler):
    """Devices, host, kernels and runs."""

    _track_activity = False

    @allowed("read")
    async def get(self) -> None:
        """Answer with everything that the side panel shows."""
        sessions = await _answer(self.session_manager.list_sessions)
        kernels = await _answer(self.kernel_manager.list_kernels)
        paths = {session["kernel"]["id"]: session["path"] for session in sessions if session.get("kernel")}
        for kernel in kernels:
            kernel["path"] = paths.get(kernel["id"], "")
            kernel["pid"] = self._pid(kernel["id"])
        overview = await asyncio.to_thread(self.studio.overview.describe, kernels)
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(overview))

    def _pid(self, kernel_id: str) -> int | None:
        # None for a kernel that is about to start, and for one on another machine.
        provisioner = getattr(self.kernel_manager.get_kernel(kernel_id), "provisioner", None)
        pid = getattr(provisioner, "pid", None)
        return pid if isinstance(pid, int) and pid > 0 else None
