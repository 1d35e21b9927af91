"""What the server wants to know of all that a kernel publishes: whether it runs a cell, what waits, its last line.

It must not know who looks at the kernel, nor keep anything: the journal does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lit_studio.kernels.journal import MESSAGE, JournalReader, Record, segment_number, segments
from lit_studio.kernels.places import KernelPlace
from lit_studio.kernels.waiting import WaitingList
from lit_studio.kernels.wire import taken_apart

SHOWN = 200  # characters of a line


class Activity:
    """Follows one kernel.

    Args:
        kernel: Jupyter's object for it; its ``execution_state`` and ``last_activity`` are kept right.
        waiting: its queue.
        tell: called with the time of each sign of work.

    Attributes:
        waiting: requests that it hasn't begun.
        last_output: the last line that it printed; None if it has printed nothing since this server has it.
    """

    def __init__(self, kernel: Any, waiting: WaitingList, tell: Callable[[datetime], None]):
        self._kernel, self._tell = kernel, tell
        self.waiting = waiting
        self.last_output: str | None = None

    def begin_anew(self) -> None:
        """The kernel is a new process."""
        self.waiting.clear()
        self.last_output = None
        self._kernel.execution_state = "starting"

    def note(self, frames: list[bytes]) -> None:
        """Take in a message of the IOPub channel."""
        message = taken_apart(frames)
        if message is None:
            return
        header, parent, parts = message
        kernel, kind = self._kernel, header.get("msg_type")
        # Completions, widgets and whatever runs on a subshell say nothing about the cells.
        cell = parent.get("msg_type") == "execute_request" and not parent.get("subshell_id")
        if cell or kernel.execution_state == "busy":
            kernel.last_activity = datetime.now(UTC)
            self._tell(kernel.last_activity)
        if kind == "status":
            self._note_status(json.loads(parts[3]).get("execution_state"), parent, cell)
        elif kind == "execute_input" and cell:
            self.waiting.remove(str(parent.get("msg_id", "")))
        elif kind in ("stream", "error"):
            self.last_output = last_line(kind, parts[3]) or self.last_output

    def _note_status(self, state: str, parent: dict[str, Any], cell: bool) -> None:
        kernel = self._kernel
        if cell:
            kernel.execution_state = state
            if state == "idle":  # a request that was left out begins nothing, and ends all the same
                self.waiting.remove(str(parent.get("msg_id", "")))
        elif state == "starting":
            kernel.execution_state = state
        elif kernel.execution_state == "starting":
            kernel.execution_state = "idle"


def last_line(kind: str, content: bytes) -> str:
    """The last line of a stream's or an error's message that isn't empty, shortened; empty if there is none."""
    try:
        message = json.loads(content)
    except ValueError:
        return ""
    text = f"{message.get('ename')}: {message.get('evalue')}" if kind == "error" else str(message.get("text", ""))
    lines = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1][:SHOWN] if lines else ""


def last_printed(place: KernelPlace) -> str:
    """The last line in the journal's newest segment; reads a few megabytes, so not on the event loop."""
    found = segments(place.journal)
    if not found:
        return ""
    line = ""
    reader = JournalReader(place.journal, first_segment=segment_number(found[-1]))
    for record in reader.read():
        line = _line_of(record) or line
    return line


def _line_of(record: Record) -> str:
    if record.kind != MESSAGE or len(record.parts) < 4:
        return ""
    kind = next((kind for kind in ("stream", "error") if f'"{kind}"'.encode() in record.parts[0]), None)
    return last_line(kind, record.parts[3]) if kind else ""
