"""A message of Jupyter's protocol as it comes from a socket, taken apart.

It must not know what messages mean.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from lit_studio.kernels.boot import DELIMITER


class Message(NamedTuple):
    """What lies behind topic and signature.

    Attributes:
        header: the message's own.
        parent: the header of the request that it belongs to.
        parts: header, parent header, metadata, content and buffers, undecoded.
    """

    header: dict[str, Any]
    parent: dict[str, Any]
    parts: list[bytes]


def taken_apart(frames: list[bytes]) -> Message | None:
    """The message in ``frames``; None if it isn't one of the protocol."""
    try:
        parts = frames[frames.index(DELIMITER) + 2 :]
        return Message(json.loads(parts[0]), json.loads(parts[1]), parts)
    except (ValueError, IndexError):
        return None
