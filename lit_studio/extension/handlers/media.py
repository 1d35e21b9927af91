"""A run's pictures, tables and texts: the list, and each one's bytes.

It must not know how they are stored or drawn. What is served comes from a directory that anyone may have written: it is
a PNG or JSON and nothing else, and a browser is told to run nothing of it.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from lit_studio.extension.handlers.runs import RunRoute
from lit_studio.extension.handlers.web import allowed


class MediaHandler(RunRoute):
    """What a run shows besides its curves."""

    _track_activity = False

    @allowed("read")
    async def get(self, run_id: str) -> None:
        """Answer with names, kinds, steps and sizes."""
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps({"media": await asyncio.to_thread(self._list, run_id)}))

    def _list(self, run_id: str) -> list[dict[str, Any]]:
        return self.studio.readers.get(self.find(run_id)).media.listing()


class MediaItemHandler(RunRoute):
    """One item."""

    _track_activity = False

    @property
    def content_security_policy(self) -> str:
        """Opened in a tab of its own, it can load and run nothing."""
        return "default-src 'none'; sandbox"

    @allowed("read")
    async def get(self, run_id: str, item: str) -> None:
        """Answer with the item's bytes, which never change."""
        kind, data = await asyncio.to_thread(self._read, run_id, item)
        self.set_header("Cache-Control", "private, max-age=31536000, immutable")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(data, set_content_type=kind)

    def _read(self, run_id: str, item: str) -> tuple[str, bytes]:
        return self.studio.readers.get(self.find(run_id)).media.read(item)
