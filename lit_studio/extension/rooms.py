"""A notebook that several people have open at once: its room in jupyter-collaboration, and outputs put into it.

It must not know when that is to be done, nor which cell an output belongs to.

Whoever writes the file behind an open room destroys what is being typed in it: the room is what counts, and saves
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jupyter_server.serverapp import ServerApp

from lit_studio.kernels.homecoming import Outcome, bring_home, source_of
from lit_studio.kernels.reducer import RequestOutputs

EXTENSION = "jupyter_server_ydoc"


class Room:
    """An open room.

    Args:
        document: its shared document (``jupyter_ydoc.YNotebook``).
    """

    def __init__(self, document: Any):
        self._document = document

    def bring_home(self, requests: Sequence[RequestOutputs], recover: bool) -> list[Outcome] | None:
        """As :func:`lit_studio.kernels.homecoming.bring_home`, in one transaction; None while it is still empty."""
        document = self._document
        notebook = document.get()
        if not notebook.get("cells"):  # it is being loaded
            return None
        by_id = {request.msg_id: request for request in requests}
        finished = bring_home(notebook, requests, recover)
        changed = [one for one in finished if one.how in ("written", "recovered")]
        with document.ydoc.transaction():
            for index, one in sorted((one.cell, one) for one in changed if one.cell is not None):
                self._put(index, one, notebook["cells"][index], by_id[one.msg_id])
        return finished

    def _put(self, index: int, one: Outcome, cell: dict[str, Any], request: RequestOutputs) -> None:
        document = self._document
        # A room holds text in one piece where a file has lines.
        whole = {**cell, "source": source_of(cell), "outputs": request.outputs}
        if one.how == "recovered":
            document.ycells.insert(index, document.create_ycell(whole))
            return
        if not hasattr(document, "_set_ycell_outputs"):
            document.set_cell(index, whole)
            return
        shared = document.ycells[index]  # its source stays, and who is typing in it
        document._set_ycell_outputs(shared, request.outputs)
        shared["execution_count"] = request.execution_count
        if request.timing:
            shared["metadata"]["execution"] = request.timing
        elif "execution" in shared["metadata"]:
            del shared["metadata"]["execution"]


async def open_room(server: ServerApp, path: Path) -> Room | None:
    """The room in which the notebook at ``path`` is open; None if it isn't, or nobody collaborates here."""
    apps = server.extension_manager.extension_apps.get(EXTENSION, ())
    app: Any = next((one for one in apps if hasattr(one, "get_document")), None)
    if app is None:
        return None
    inside = path.resolve().relative_to(Path(server.root_dir).resolve()).as_posix()
    where = {"path": inside, "content_type": "notebook", "file_format": "json"}
    if await app.get_document(**where, copy=True) is None:  # this one waits until all of it is loaded
        return None
    document = await app.get_document(**where, copy=False)
    return None if document is None else Room(document)
