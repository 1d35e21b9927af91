"""A kernel's websocket that sends each message at once.

It must not know what the messages say. Jupyter server leaves Nagle's algorithm on for kernel websockets, so each
small reply waits until the browser has acknowledged the one before it, and browsers delay that by 40 ms: every cell
seems to take that much longer.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class PromptWebsocketConnection(ZMQChannelsWebsocketConnection):
    """The stock connection with ``TCP_NODELAY`` set on its socket."""

    def connect(self) -> Any:
        """Connect as the stock class does, on a socket that waits for nothing."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()
