r"""From a kernel's journal to what JupyterLab would show and save for each request, record by record.

It must not know notebooks, files or servers: which cell an outcome belongs to is said, not looked up.

JupyterLab itself is the reference (``tests/browser/test_outputs_reference.py`` compares with it): how streams merge,
what ``\r`` and ``\b`` do, when ``clear_output(wait=True)`` clears, which outputs an update reaches (also those of
other cells), and what an Output widget takes away from its cell. What it leaves to the browser's memory is bounded
here: see :class:`~lit_studio.kernels.areas.Limits`.
"""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lit_studio.base.errors import InvalidValueError
from lit_studio.kernels.areas import Area, Limits
from lit_studio.kernels.journal import FOLDED, MESSAGE, REQUEST, Record

State = Literal["queued", "running", "done", "aborted", "died"]
RECENT_SECONDS = 30.0
_VERSION = 1
_OUTPUTS = ("execute_result", "display_data", "error")


@dataclass(frozen=True)
class RequestOutputs:
    """What one execute request has come to.

    Attributes:
        msg_id: the request's.
        cell_id: its cell's, empty where the client didn't say.
        session: the client session that sent it.
        source: the code that ran.
        execution_count: the number in its prompt; None if it never ran.
        state: ``queued`` (asked for, not begun), ``running``, ``done``, ``aborted`` (never ran: a cell before it
            failed, or it was cancelled) or ``died`` (its kernel ended while it ran).
        started, ended: when it began and came to its end, seconds since the epoch; None if it hasn't.
        changed: the number of the last record that changed it.
        changed_at: that record's time, seconds since the epoch.
        timing: the cell's ``execution`` metadata; empty where the client didn't ask for it.
        outputs: as ``nbformat`` has them, text in one piece.
    """

    msg_id: str
    cell_id: str
    session: str
    source: str
    execution_count: int | None
    state: State
    started: float | None
    ended: float | None
    changed: int
    changed_at: float
    timing: dict[str, str]
    outputs: list[dict[str, Any]]

    def json(self) -> dict[str, Any]:
        """As a JSON object with the attributes' names."""
        return asdict(self)


@dataclass
class _Request:
    msg_id: str
    session: str
    area: Area
    cell_id: str = ""
    source: str = ""
    count: int | None = None
    state: State = "running"
    known: bool = False  # to be listed: a client asked for this code in a cell, not silently for itself
    started: float | None = None
    ended: float | None = None
    changed: int = 0
    changed_at: float = 0.0
    wants_timing: bool = False
    timing: dict[str, str] = field(default_factory=dict)


class Reducer:
    """One kernel's outcomes, brought up to date by each record.

    Args:
        limits: how much of one request's outputs is kept.

    Attributes:
        number: the last record's number; 0 before the first.
    """

    def __init__(self, limits: Limits | None = None):
        self._limits = limits or Limits()
        self._requests: dict[str, _Request] = {}
        self._cells: dict[str, str] = {}  # a cell's id and the request that ran it last
        self._shown_by: dict[str, list[str]] = {}  # a display id and the requests whose areas it may be in
        self._widgets: dict[str, Area] = {}  # Output widgets by their comm's id
        self._targets: dict[str, str] = {}  # an Output widget and the request whose outputs it takes
        self._recent: deque[tuple[float, str]] = deque()
        self._now = 0.0
        self.number = 0

    # What came of it --------------------------------------------------------------------------------------------

    def requests(self, after: int = 0) -> list[RequestOutputs]:
        """All requests in the order in which they began, but those whose cell was run again later.

        Args:
            after: only those that a record after this number has changed.
        """
        return [
            self._outcome(request) for request in self._requests.values() if request.known and request.changed > after
        ]

    def recent(self, seconds: float = RECENT_SECONDS, now: float | None = None) -> list[str]:
        """The ids of the messages of the last ``seconds`` (at most 30): a page that has them knows what is reduced."""
        since = (time.time() if now is None else now) - seconds
        return [msg_id for when, msg_id in self._recent if when >= since]

    def display_ids(self) -> dict[str, list[tuple[str, int]]]:
        """Each display id with the requests and the indices of their outputs that an update replaces."""
        found: dict[str, list[tuple[str, int]]] = {}
        for request in self._requests.values():
            if request.known:
                for display_id, index in request.area.displays():
                    found.setdefault(display_id, []).append((request.msg_id, index))
        return found

    def pending_clear(self) -> list[str]:
        """The requests whose next output clears the others first."""
        return [one.msg_id for one in self._requests.values() if one.known and one.area.clear_pending]

    def widgets(self) -> dict[str, list[dict[str, Any]]]:
        """What Output widgets have taken, by their comms' ids."""
        return {comm: area.outputs() for comm, area in self._widgets.items()}

    def _outcome(self, request: _Request) -> RequestOutputs:
        return RequestOutputs(
            msg_id=request.msg_id,
            cell_id=request.cell_id,
            session=request.session,
            source=request.source,
            execution_count=request.count,
            state=request.state,
            started=request.started,
            ended=request.ended,
            changed=request.changed,
            changed_at=request.changed_at,
            timing=_timing(request),
            outputs=request.area.outputs(),
        )

    # Records ----------------------------------------------------------------------------------------------------

    def feed(self, record: Record) -> None:
        """Take in the next record. One that isn't what it says it is changes nothing."""
        self.number, self._now = record.number, record.time
        try:
            if record.kind == MESSAGE:
                self._message(record)
            elif record.kind == REQUEST:
                self._request(record)
            elif record.kind == FOLDED:
                self._load(json.loads(record.parts[0]))
                self.number = record.number
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return

    def kernel_ended(self) -> None:
        """No more records will come: what runs has died with the kernel."""
        for request in self._requests.values():
            if request.state == "running":
                request.state, request.ended = "died", request.changed_at

    def fold(self) -> bytes:
        """All that is known, for a :data:`~lit_studio.kernels.journal.FOLDED` record that replaces those so far."""
        requests = [
            {**{key: value for key, value in vars(one).items() if key != "area"}, "area": one.area.fold()}
            for one in self._requests.values()
        ]
        widgets = {comm: area.fold() for comm, area in self._widgets.items()}
        state = {
            "version": _VERSION,
            "number": self.number,
            "limits": asdict(self._limits),
            "requests": requests,
            "cells": self._cells,
            "shown_by": self._shown_by,
            "widgets": widgets,
            "targets": self._targets,
            "recent": list(self._recent),
        }
        return json.dumps(state).encode()

    @classmethod
    def unfold(cls, folded: bytes) -> Reducer:
        """The reducer that :meth:`fold` described.

        Raises:
            InvalidValueError: it is no such description, or one of a later version.
        """
        reducer = cls()
        try:
            reducer._load(json.loads(folded))
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise InvalidValueError(f"This is no folded journal: {error!r}") from error
        return reducer

    def _load(self, state: dict[str, Any]) -> None:
        if state["version"] > _VERSION:
            raise InvalidValueError("A later version has folded this journal", value=state["version"])
        limits = Limits(**state["limits"])
        requests = {}
        for one in state["requests"]:
            requests[one["msg_id"]] = _Request(**{**one, "area": Area.unfold(one["area"], limits)})
        widgets = {comm: Area.unfold(area, limits) for comm, area in state["widgets"].items()}
        self._limits, self._requests, self._widgets = limits, requests, widgets
        self._cells, self._shown_by, self._targets = state["cells"], state["shown_by"], state["targets"]
        self._recent = deque((when, msg_id) for when, msg_id in state["recent"])
        self.number = state["number"]

    def _request(self, record: Record) -> None:
        header, metadata = _parse(record.parts[0]), _parse(record.parts[1])
        request = self._of(header)
        request.known = True
        request.cell_id = str(metadata.get("cellId") or "")
        request.wants_timing = bool(metadata.get("recordTiming"))
        earlier = self._cells.get(request.cell_id)
        if request.cell_id and earlier != request.msg_id:
            if earlier is not None:  # as in JupyterLab, whose cell lets go of its earlier run, even of what still comes
                self._requests.pop(earlier, None)
            self._cells[request.cell_id] = request.msg_id

    def _message(self, record: Record) -> None:
        header = _parse(record.parts[0])
        self._recent.append((record.time, header["msg_id"]))
        while self._recent[0][0] < record.time - RECENT_SECONDS:
            self._recent.popleft()
        kind, parent = header["msg_type"], _parse(record.parts[1])
        if kind.startswith("comm_"):
            self._comm(kind, record.parts[3])
            return
        content = _parse(record.parts[3])
        asked = parent.get("msg_id")
        if not asked:
            if kind == "status" and content.get("execution_state") == "starting":
                self._restarted()
            return
        request = None
        if parent.get("msg_type") == "execute_request":
            superseded = asked not in self._requests and kind != "status"
            if not superseded or kind == "execute_input":
                request = self._of(parent)
        if kind == "status" and request is not None:
            self._status(request, content["execution_state"], header, record)
        elif kind == "execute_input" and request is not None:
            request.known, request.state, request.started = True, "running", record.time
            request.source, request.count = str(content.get("code", "")), content.get("execution_count")
            request.timing["iopub.execute_input"] = str(header.get("date", ""))
        else:
            self._output(kind, asked, content, len(record.parts[3]))

    def _of(self, header: dict[str, Any]) -> _Request:
        """The request with this header."""
        msg_id = header["msg_id"]
        request = self._requests.get(msg_id)
        if request is None:
            request = _Request(msg_id, str(header.get("session", "")), Area(self._limits))
            self._requests[msg_id] = request
        request.changed, request.changed_at = self.number, self._now
        return request

    def _status(self, request: _Request, state: str, header: dict[str, Any], record: Record) -> None:
        request.timing[f"iopub.status.{state}"] = str(header.get("date", ""))
        if state == "idle":
            request.ended = record.time
            request.state = "done" if request.started is not None else "aborted"
            if not request.known:  # silent, or aborted by a kernel that doesn't say for which cell
                del self._requests[request.msg_id]

    def _restarted(self) -> None:
        """A new process of the same kernel: it knows nothing of the earlier one's displays and widgets."""
        self.kernel_ended()
        for request in self._requests.values():
            request.area.forget_displays()
        self._shown_by.clear()
        self._widgets.clear()
        self._targets.clear()

    # Outputs ----------------------------------------------------------------------------------------------------

    def _areas_of(self, msg_id: str) -> Area | None:
        """Where the outputs of this request go now: into the widget that has taken them last, or its own area."""
        for comm, target in reversed(self._targets.items()):
            if target == msg_id:
                return self._widgets[comm]
        request = self._requests.get(msg_id)
        return None if request is None else request.area

    def _output(self, kind: str, msg_id: str, content: dict[str, Any], size: int) -> None:
        display_id = (content.get("transient") or {}).get("display_id")
        if display_id and kind in ("display_data", "update_display_data", "execute_result"):
            self._update(display_id, content, size)
            if kind != "update_display_data" and msg_id not in self._shown_by.setdefault(display_id, []):
                self._shown_by[display_id].append(msg_id)
        area = self._areas_of(msg_id)
        if area is None:
            return
        if kind == "stream":
            name, text = content["name"], _text(content["text"])
            if isinstance(name, str):
                area.add_stream(name, text)
        elif kind in _OUTPUTS:
            value = {key: part for key, part in content.items() if key != "transient"}
            area.add({**value, "output_type": kind}, size, display_id if kind == "display_data" else None)
        elif kind == "clear_output":
            area.clear(bool(content.get("wait")))

    def _update(self, display_id: str, content: dict[str, Any], size: int) -> None:
        value = {key: part for key, part in content.items() if key != "transient"} | {"output_type": "display_data"}
        taken = set(self._targets.values())
        for msg_id in self._shown_by.get(display_id, ()):
            request = self._requests.get(msg_id)
            if request is not None and msg_id not in taken:  # a widget that takes outputs swallows updates, too
                request.area.update(display_id, value, size)
                request.changed, request.changed_at = self.number, self._now

    def _comm(self, kind: str, raw: bytes) -> None:
        """Follow Output widgets: each names the request whose outputs it takes, or none."""
        if kind == "comm_open" and b"OutputModel" not in raw:
            return
        if kind == "comm_msg" and not (self._widgets and (b'"msg_id"' in raw or b'"outputs"' in raw)):
            return
        content = _parse(raw)
        comm, data = content["comm_id"], content.get("data") or {}
        state = data.get("state") or {}
        if kind == "comm_open" and state.get("_model_name") == "OutputModel":
            self._widgets[comm] = Area(self._limits)
            self._set_outputs(comm, state)
        elif kind == "comm_close" and comm in self._widgets:
            del self._widgets[comm]
            self._targets.pop(comm, None)
        elif kind == "comm_msg" and comm in self._widgets and data.get("method") == "update":
            self._set_outputs(comm, state)
            if "msg_id" in state:
                self._targets.pop(comm, None)
                if state["msg_id"]:
                    self._targets[comm] = state["msg_id"]

    def _set_outputs(self, comm: str, state: dict[str, Any]) -> None:
        """The kernel has set the widget's outputs itself, as ``append_stdout`` does."""
        if "outputs" not in state:
            return
        area = self._widgets[comm] = Area(self._limits)
        for output in state["outputs"]:
            if output["output_type"] == "stream":
                area.add_stream(output["name"], _text(output["text"]))
            else:
                area.add(output, len(json.dumps(output)))


def _parse(part: bytes) -> dict[str, Any]:
    try:
        return json.loads(part)
    except UnicodeDecodeError:  # what Python had no characters for
        return json.loads(bytes(part).decode("utf-8", "replace"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value)


def _timing(request: _Request) -> dict[str, str]:
    """As JupyterLab's ``recordTiming`` has it.

    The reply isn't published, so its times are those of the nearest messages, less than a millisecond away: the kernel
    notes its start right before ``execute_input`` and sends it right before ``idle``.
    """
    if not request.wants_timing:
        return {}
    timing = {key: value for key, value in request.timing.items() if value}
    if started := timing.get("iopub.execute_input"):
        timing["shell.execute_reply.started"] = started
    if ended := timing.get("iopub.status.idle"):
        timing["shell.execute_reply"] = ended
    return timing
