"""Journals a kernel that can't do so itself, from outside: a subscriber to what it publishes, in its keeper.

It must not know what kind of kernel it is. This is best effort: zmq drops messages for a subscriber that is too slow,
and what was published while no keeper lived is not in the journal. Loaded by such kernels' keepers only.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

import zmq

from lit_studio.kernels.journal import MESSAGE, REQUEST, JournalWriter
from lit_studio.kernels.places import KernelPlace
from lit_studio.kernels.state import Execution, write
from lit_studio.kernels.wire import taken_apart

LOOK_EVERY_MS = 200
DRAIN_SECONDS = 2.0


class Listener:
    """Subscribes to a kernel, on a thread of its own.

    Args:
        place: whose journal and execution file are written.
        connection: the content of its connection file.
    """

    def __init__(self, place: KernelPlace, connection: Mapping[str, Any]):
        self._place = place
        self._writer = JournalWriter(place.journal)
        separator = ":" if connection["transport"] == "tcp" else "-"
        self._url = f"{connection['transport']}://{connection['ip']}{separator}{connection['iopub_port']}"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write down what has arrived, and stop."""
        self._ended.set()
        self._thread.join(DRAIN_SECONDS)
        self._writer.close()

    def _listen(self) -> None:
        with zmq.Context() as context, context.socket(zmq.SUB) as socket:
            socket.rcvhwm = 0
            socket.linger = 0
            socket.subscribe(b"")
            socket.connect(self._url)
            while True:
                if socket.poll(LOOK_EVERY_MS):
                    self._note(socket.recv_multipart())
                elif self._ended.is_set():
                    return

    def _note(self, frames: list[bytes]) -> None:
        message = taken_apart(frames)
        if message is None:
            return
        header, parent, parts = message
        kind, asked = header.get("msg_type"), parent.get("msg_type") == "execute_request"
        if kind == "execute_input" and asked:  # the request's metadata, and so its cell, can't be known from here
            self._writer.append(REQUEST, [parts[1], b"{}"])
            count = json.loads(parts[3]).get("execution_count") or 0
            self._tell(Execution("busy", str(parent.get("msg_id", "")), "", count, time.time()))
        number = self._writer.append(MESSAGE, parts)
        if kind == "status" and asked and json.loads(parts[3]).get("execution_state") == "idle":
            self._tell(Execution("idle", str(parent.get("msg_id", "")), "", 0, time.time(), number))

    def _tell(self, execution: Execution) -> None:
        try:
            write(self._place.execution, execution)
        except OSError:  # a full disk costs the status, not the journal's reader
            pass
