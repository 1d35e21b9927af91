"""Opening a guide: a copy of it in the person's own folder.

It must not know where guides come from.
"""

from __future__ import annotations

import asyncio
import json

from tornado.web import HTTPError

from lit_studio.base.errors import InvalidTypeError
from lit_studio.extension.guides import copy_guide
from lit_studio.extension.handlers.web import LitStudioHandler, allowed


class GuideHandler(LitStudioHandler):
    """A guide notebook."""

    @allowed("write")
    async def post(self, name: str) -> None:
        """Copy the guide into the body's ``directory`` unless it is there already; answer with its path."""
        directory = self.get_json_object().get("directory", "")
        if not isinstance(directory, str):
            raise InvalidTypeError("directory has to be a text", value=directory, valid='e.g. "" for the root')
        path = await asyncio.to_thread(self._copy, name, directory)
        self.finish(json.dumps({"path": path}))

    def _copy(self, name: str, directory: str) -> str:
        places = self.studio.places
        folder = places.folder(directory)
        if folder is None:
            raise HTTPError(404, f"There is no folder {directory!r} here", reason="Not Found")
        return places.relative(copy_guide(name, self.studio.guides, folder))
