"""What a kernel's requests have come to, for a page that was closed, reloaded or cut off meanwhile.

It must not know how that is found.
"""

from __future__ import annotations

import asyncio
import json
import re

from lit_studio.base.errors import KernelNotFoundError
from lit_studio.extension.handlers.web import LitStudioHandler, allowed

_KERNEL_ID = re.compile(r"[\w-]+")


class OutputsHandler(LitStudioHandler):
    """Outputs of one kernel's requests, as JupyterLab would show them."""

    auth_resource = "kernels"
    _track_activity = False

    @allowed("read")
    async def get(self, kernel_id: str) -> None:
        """Answer with outputs, message ids and displays from one read of the journal; 404 without a journal."""
        session = self.get_query_argument("session", "")
        found = None
        if _KERNEL_ID.fullmatch(kernel_id):
            found = await self.studio.homecoming.snapshot(kernel_id, session)
        if found is None:
            raise KernelNotFoundError(
                "This kernel has no journal",
                value=kernel_id,
                advice="Kernels keep one if they were started while LitStudioApp.persistent_kernels was on.",
            )
        self.set_header("Cache-Control", "no-store")
        self.finish(await asyncio.to_thread(json.dumps, found))
