"""The widget's conversation with the page: what the page may ask about a run, and the answers.

It must not know over which wire messages travel or how the page draws. Messages are small dicts with a ``t``::

    page → kernel   hello {id} · view · ask {seq, query} · command {seq, name, arguments}
    kernel → page   ready · view +[bytes] · packet {seq} +[bytes] · done {seq} · error {seq?, message}

Every message of the kernel answers one of the page: nothing is sent unasked, however long the run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lit_studio.base.errors import InvalidStateError, InvalidValueError, StudioError
from lit_studio.base.runs import Command, RunDirectory, send_command
from lit_studio.tracking import RunReader

Answer = tuple[dict[str, Any], list[bytes]]
QUERY = {"width", "axis", "have", "events", "x0", "x1"}


class Conversation:
    """Answers questions about ``run``; safe to use from several threads.

    Args:
        run: the run that is shown.
        view_file: the script that draws it.
    """

    def __init__(self, run: RunDirectory, view_file: Path):
        self._reader = RunReader(run)
        self._view_file = view_file

    def answer(self, message: Any) -> Answer | None:
        """The answer to ``message``; None for one that isn't of this conversation."""
        if not isinstance(message, dict):
            return None
        kind, seq = message.get("t"), message.get("seq")
        try:
            if kind == "hello":
                return {"t": "ready"}, []
            if kind == "view":
                return {"t": "view"}, [self._view_file.read_bytes()]
            if kind == "ask":
                return {"t": "packet", "seq": seq}, [self._packet(message.get("query"))]
            if kind == "media":
                return {"t": "media", "seq": seq, "media": self._reader.media.listing()}, []
            if kind == "item":
                media_type, data = self._reader.media.read(str(message.get("item")))
                return {"t": "item", "seq": seq, "type": media_type}, [data]
            if kind == "command":
                self._command(message.get("name"), message.get("arguments"))
                return {"t": "done", "seq": seq}, []
        except (StudioError, OSError) as error:
            return {"t": "error", "seq": seq, "message": str(error)}, []
        return None

    def _packet(self, query: Any) -> bytes:
        query = {} if query is None else query
        if not isinstance(query, dict) or set(query) - QUERY or not isinstance(query.get("have", ""), str):
            raise InvalidValueError("This is no question for points", value=query, valid=", ".join(sorted(QUERY)))
        try:
            return self._reader.packet(**query)
        except TypeError as error:  # a text where a number belongs
            raise InvalidValueError(f"This is no question for points ({error})", value=query) from error

    def _command(self, name: Any, arguments: Any) -> None:
        command = Command(str(name), arguments if isinstance(arguments, dict) else {})
        run = self._reader.run
        status = run.status()
        if not status.is_active:
            raise InvalidStateError(f"The run isn't going on ({status.state}), so it can't {command.name}")
        send_command(run.inbox, command)
