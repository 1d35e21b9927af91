"""A page as the server sees it: a websocket to a kernel that asks for cells to be run; and notebooks on disk.

It must not know what a test checks.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import nbformat
import websocket

from tests.server.live import TOKEN, Kernel


def write_notebook(path: Path, sources: dict[str, str], minor: int = 5) -> None:
    """A notebook of code cells, by their ids."""
    cells = [nbformat.v4.new_code_cell(source, id=cell_id) for cell_id, source in sources.items()]
    node = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "P"}})
    node.nbformat_minor = minor
    if minor < 5:
        for cell in node.cells:
            del cell["id"]
    path.write_text(nbformat.writes(node) + "\n", encoding="utf-8")


def read_notebook(path: Path) -> Any:
    """The notebook at ``path``; raises ValueError while it is half written."""
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)


def printed(path: Path) -> list[tuple[str, str]]:
    """The source and the printed text of each cell."""
    cells = read_notebook(path).cells
    return [(cell.source, "".join(one.get("text", "") for one in cell.outputs)) for cell in cells]


class Page:
    """One page that is connected to ``kernel``."""

    def __init__(self, kernel: Kernel):
        self.session = uuid.uuid4().hex
        address = kernel.server.url.replace("http", "ws", 1)
        self._socket = websocket.create_connection(
            f"{address}api/kernels/{kernel.id}/channels?session_id={self.session}&token={TOKEN}", timeout=60
        )

    def ask(self, code: str, cell: str | None, **metadata: Any) -> str:
        """Have a cell run; the request's id."""
        msg_id = uuid.uuid4().hex
        header = {"msg_id": msg_id, "session": self.session, "msg_type": "execute_request", "version": "5.3"}
        message = {
            "header": {**header, "username": "", "date": "2026-11-24T00:00:00Z"},
            "parent_header": {},
            "metadata": {**({"cellId": cell} if cell else {}), **metadata},
            "content": {"code": code, "silent": False, "store_history": True, "stop_on_error": True},
            "buffers": [],
            "channel": "shell",
        }
        self._socket.send(json.dumps(message))
        return msg_id

    def wait_for(self, msg_id: str, kind: str = "idle") -> list[dict[str, Any]]:
        """Messages until this request has ended, or until its first one of type ``kind``."""
        seen = []
        while True:
            raw = self._socket.recv()
            if not isinstance(raw, str) or not raw:
                continue
            message = json.loads(raw)
            seen.append(message)
            if message["parent_header"].get("msg_id") == msg_id:
                is_idle = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
                if is_idle or message["msg_type"] == kind:
                    return seen

    def run(self, code: str, cell: str | None, **metadata: Any) -> str:
        """Have a cell run and wait until it has."""
        msg_id = self.ask(code, cell, **metadata)
        self.wait_for(msg_id)
        return msg_id

    def close(self) -> None:
        """The tab is closed."""
        self._socket.close()
