"""Requests that were sent to a kernel and that it hasn't begun: its queue, as it survives the server.

It must not know how requests are sent. The kernel works them off in order, so what it runs now tells what it has
left behind, also to a server that wasn't there meanwhile.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass

from lit_studio.kernels.places import KernelPlace
from lit_studio.kernels.state import Execution, write_json

MOST = 10_000  # requests; a client that sends more is not a person with a notebook


@dataclass(frozen=True)
class Waiting:
    """One request that waits.

    Attributes:
        msg_id: its message id.
        session: the client's session, which tells pages apart.
        cell_id: the cell's, empty if the client didn't say.
        since: when it was sent, seconds since the epoch.
    """

    msg_id: str
    session: str
    cell_id: str
    since: float


class WaitingList:
    """The queue of one kernel, in the order in which it was sent.

    Args:
        place: the kernel's folder.
        execution: what the kernel does now; what it must have begun before that is dropped.
    """

    def __init__(self, place: KernelPlace, execution: Execution | None = None):
        self._path = place.waiting
        self._requests: dict[str, Waiting] = {}
        try:
            for one in json.loads(self._path.read_text(encoding="utf-8")):
                self._requests[one["msg_id"]] = Waiting(**one)
        except (OSError, ValueError, TypeError, KeyError):
            pass
        if self._requests and execution is not None:
            self._pass_over(execution)

    def _pass_over(self, execution: Execution) -> None:
        if execution.state != "busy":
            self._requests.clear()
        elif execution.msg_id in self._requests:
            names = list(self._requests)
            for name in names[: names.index(execution.msg_id) + 1]:
                del self._requests[name]
        self._save()

    def __len__(self) -> int:
        return len(self._requests)

    def __contains__(self, msg_id: str) -> bool:
        return msg_id in self._requests

    def requests(self) -> list[Waiting]:
        """All of them, the next one first."""
        return list(self._requests.values())

    def add(self, msg_id: str, session: str, cell_id: str) -> None:
        """A request is on its way to the kernel."""
        if len(self._requests) < MOST:
            self._requests[msg_id] = Waiting(msg_id, session, cell_id, time.time())
            self._save()

    def remove(self, msg_id: str) -> bool:
        """The kernel has begun it, or won't; whether it was waiting."""
        if self._requests.pop(msg_id, None) is None:
            return False
        self._save()
        return True

    def clear(self) -> None:
        """The kernel has been started anew."""
        if self._requests:
            self._requests.clear()
            self._save()

    def _save(self) -> None:
        try:
            write_json(self._path, [asdict(one) for one in self._requests.values()])
        except OSError:  # a full disk: the queue is known until the server ends
            pass
