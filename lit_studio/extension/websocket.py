"""Kernels' websockets that wait for nothing: not for acknowledgements, and not for the cell that runs.

It must not know what a cell prints or a widget says; it looks at messages' headers.

Jupyter server leaves Nagle's algorithm on for kernel websockets, so each small reply waits until the browser has
acknowledged the one before it, and browsers delay that by 40 ms: every cell seems to take that much longer. And it
sends a page's questions and its widgets' messages to the shell that runs the cell, where they wait until it is through:
a page that is loaded again stays empty that long.
"""

from __future__ import annotations

import json
from typing import Any

from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from traitlets import Bool

from lit_studio.extension.kernels import KeptKernel
from lit_studio.kernels.state import write_json

PROTOCOL = "v1.kernel.websocket.jupyter.org"
QUESTIONS = ("kernel_info_request", "comm_info_request")
COMMS = ("comm_open", "comm_msg", "comm_close")
SUBSHELLS = "kernel subshells"


class PromptWebsocketConnection(ZMQChannelsWebsocketConnection):
    """The stock connection with ``TCP_NODELAY`` set on its socket."""

    prompt = Bool(True, help="Send each message to the browser at once (TCP_NODELAY).").tag(config=True)

    def connect(self) -> Any:
        """Connect as the stock class does, on a socket that waits for nothing."""
        if self.prompt:
            self.websocket_handler.set_nodelay(True)
        return super().connect()


class KeptWebsocketConnection(PromptWebsocketConnection):
    """The connection to a kernel that outlives the server, and which may be busy whenever a page comes."""

    comms_on_subshell = Bool(
        True,
        help="Hand widgets' messages to a subshell of the kernel, so that they work while a cell runs; the code that "
        "they call then runs on another thread than the cells.",
    ).tag(config=True)

    def __init__(self, **options: Any):
        super().__init__(**options)
        self._questions: set[str] = set()  # message ids that go by the control channel in place of the shell
        self._subshell: tuple[int, str] | None = None  # the kernel's process, and what is ours of it
        self._asked_subshell = ""
        self._held: list[tuple[dict[str, Any], list[bytes]]] = []  # widgets' messages until there is a subshell

    @property
    def kept(self) -> KeptKernel | None:
        """The kernel; None if it ends with the server."""
        kernel = self.kernel_manager
        return kernel if isinstance(kernel, KeptKernel) and kernel.keeper is not None else None

    @property
    def _process(self) -> int:
        return self.kept.keeper.pid or 0 if self.kept is not None and self.kept.keeper is not None else 0

    # The kernel's description ----------------------------------------------------------------------------------

    def request_kernel_info(self) -> Any:
        """Ask the kernel what it is, where it answers also while a cell runs."""
        kernel = self.kept
        asked = self.kernel_info_channel is not None or hasattr(self.kernel_manager, "_kernel_info_future")
        # Kernels that aren't ipykernels may answer this on the shell channel only.
        if not asked and kernel is not None and kernel.keeper is not None and kernel.keeper.place.hooks.exists():
            self.kernel_info_channel = self.multi_kernel_manager.connect_control(self.kernel_id)
        return super().request_kernel_info()

    def _finish_kernel_info(self, info: dict[str, Any]) -> None:
        if info and self.kept is not None and self.kept.keeper is not None:
            place = self.kept.keeper.place
            try:
                if not place.kernel_info.exists():
                    write_json(place.kernel_info, info)
            except OSError as error:
                self.log.warning("What kernel %s is can't be written down: %s", self.kernel_id, error)
        super()._finish_kernel_info(info)

    @property
    def _has_subshells(self) -> bool:
        future = getattr(self.kept, "_kernel_info_future", None)
        info = future.result() if future is not None and future.done() else {}
        return SUBSHELLS in (info.get("supported_features") or ())

    # From the page ---------------------------------------------------------------------------------------------

    def handle_incoming_message(self, incoming_msg: Any) -> None:
        """Hand a page's message on to the kernel, by the way that doesn't wait."""
        if self.channels and self.kept is not None and self._divert(incoming_msg):
            return
        super().handle_incoming_message(incoming_msg)

    def _divert(self, message: Any) -> bool:
        """Send it another way than the stock class would; whether that was done."""
        if self.subprotocol != PROTOCOL:
            if isinstance(message, str):  # the older protocol: only the queue is kept
                older = json.loads(message)
                self._note_request(older.get("header") or {}, older.get("metadata") or {})
            return False
        channel, parts = deserialize_msg_from_ws_v1(message)
        if channel != "shell" or len(parts) < 4:
            return False
        header = json.loads(parts[0])
        kind, allowed = header.get("msg_type"), self.multi_kernel_manager.allowed_message_types
        if allowed and kind not in allowed:
            return False
        if kind == "execute_request":
            self._note_request(header, json.loads(parts[2]))
        elif kind in COMMS and not header.get("subshell_id") and self.comms_on_subshell and self._has_subshells:
            self._send_to_subshell(header, parts)
            return True
        elif kind in QUESTIONS and self.kernel_manager.execution_state == "busy":
            self._questions.add(header["msg_id"])
            self.session.send_raw(self.channels["control"], parts)
            return True
        return False

    def _note_request(self, header: dict[str, Any], metadata: dict[str, Any]) -> None:
        if header.get("msg_type") == "execute_request" and not header.get("subshell_id"):
            activity = self.kept.activity if self.kept is not None else None
            if activity is not None:
                cell = str(metadata.get("cellId") or "")
                activity.waiting.add(str(header.get("msg_id", "")), str(header.get("session", "")), cell)

    def _send_to_subshell(self, header: dict[str, Any], parts: list[bytes]) -> None:
        kernel = self.kept
        assert kernel is not None
        if self._subshell is not None and self._subshell[0] != self._process:  # the kernel was restarted
            self._subshell, self._asked_subshell = None, ""
        if self._subshell is None and kernel.subshells:
            self._subshell = self._process, kernel.subshells.pop()
        if self._subshell is None:
            self._held.append((header, parts))
            if not self._asked_subshell:
                asked: Any = self.session.send(self.channels["control"], "create_subshell_request", {})
                self._asked_subshell = asked["header"]["msg_id"]
            return
        # An empty name is a kernel that has refused to make one: then as the stock class does.
        header = {**header, "subshell_id": self._subshell[1] or None}
        self.session.send_raw(self.channels["shell"], [json.dumps(header).encode(), *parts[1:]])

    # From the kernel -------------------------------------------------------------------------------------------

    def _on_zmq_reply(self, stream: Any, msg_list: Any) -> None:
        ours = (self._asked_subshell or self._questions) and getattr(stream, "channel", "") == "control"
        if ours and isinstance(msg_list, list):
            asked = json.loads(bytes(msg_list[1])).get("msg_id")
            if asked and asked == self._asked_subshell:
                self._take_subshell(json.loads(bytes(msg_list[3])))
                return
            if asked in self._questions:
                self._questions.discard(asked)
                self.write_message(serialize_msg_to_ws_v1(msg_list, "shell"), binary=True)
                return
        super()._on_zmq_reply(stream, msg_list)

    def _take_subshell(self, reply: dict[str, Any]) -> None:
        self._asked_subshell = ""
        self._subshell = self._process, str(reply.get("subshell_id") or "")
        held, self._held = self._held, []
        for header, parts in held:
            self._send_to_subshell(header, parts)

    def disconnect(self) -> None:  # type: ignore[override]  # as its superclass does
        """The page is gone; the next one goes on with its subshell.

        It isn't deleted: the kernel would wait for a widget's callback that runs there, and route nothing meanwhile.
        """
        if self._subshell is not None and self.kept is not None:
            process, name = self._subshell
            if name and process == self._process:
                self.kept.subshells.append(name)
        self._subshell = None
        super().disconnect()
