"""The packet: what a screen asks for, checked, and how the answer is laid out as bytes.

It must not know where the numbers come from. A packet is little-endian throughout::

    magic "LSC1" · header length u32 (H) · header JSON, UTF-8, padded with spaces so that 8 + H is a multiple of 8
    then for each entry of header["series"], then of header["branches"], in order:
        x f64 × points · y f32 × points, each padded to 8 bytes
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_studio.base.errors import InvalidValueError

MAGIC = b"LSC1"
AXES = ("step", "epoch", "time", "active", "samples")
WIDTHS = (64, 8192)
_PREFIX = struct.Struct("<4sI")
_LARGEST = float(np.finfo(np.float32).max)


Held = tuple[int, int, int]
"""What an asker holds of a series: stride, buckets, abandoned stretches."""


@dataclass(frozen=True, slots=True)
class PacketQuery:
    """A checked question for series and events; see :meth:`RunReader.packet` for the meaning of each part.

    Attributes:
        have: what the asker holds: series id → (stride, buckets, abandoned stretches).
        window: ``(x0, x1)`` in units of ``axis``, or None for everything.
    """

    width: int
    axis: str
    have: dict[int, Held]
    events: int
    window: tuple[float, float] | None


def check_query(width: int, axis: str, have: str, events: int, x0: float | None, x1: float | None) -> PacketQuery:
    """The question in checked form.

    Raises:
        InvalidValueError: a part is outside what is valid; the message names it.
    """
    low, high = WIDTHS
    if not _is_count(width) or not low <= width <= high:
        raise InvalidValueError("width is the number of buckets to show", value=width, valid=f"{low} to {high}")
    if axis not in AXES:
        raise InvalidValueError("There is no such axis", value=axis, valid=", ".join(AXES))
    if not _is_count(events):
        raise InvalidValueError("events is the number of events already known", value=events, valid="0 or more")
    window = None
    if (x0 is None) != (x1 is None):
        raise InvalidValueError("A window has two ends", value=(x0, x1), valid="both x0 and x1, or neither")
    if x0 is not None and x1 is not None:
        if not (math.isfinite(x0) and math.isfinite(x1) and x0 < x1):
            raise InvalidValueError("A window runs from x0 up to x1", value=(x0, x1), valid="finite numbers, x0 < x1")
        window = (float(x0), float(x1))
    return PacketQuery(width, axis, _parse_have(have), events, window)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _parse_have(have: str) -> dict[int, Held]:
    held = {}
    for part in have.split(",") if have else ():
        numbers = part.split(":")
        # isdecimal alone would let other scripts' digits pass, which the browser side never sends.
        if len(numbers) not in (3, 4) or not all(n.isascii() and n.isdecimal() and len(n) <= 15 for n in numbers):
            valid = "id:stride:buckets[:branches],…"
            raise InvalidValueError("have lists what is already shown", value=part, valid=valid)
        series, stride, buckets, branches = map(int, (*numbers, "0")[:4])
        held[series] = (stride, buckets, branches)
    return held


def encode_packet(header: dict[str, Any], arrays: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> bytes:
    """Lay out a packet.

    Args:
        header: JSON-able; its ``series`` and ``branches`` have one entry for each pair in ``arrays``, with the same
            ``points``.
        arrays: ``(x, y)`` of equal length; x is sent as f64, y as f32. A finite y that is too large for f32 becomes
            the largest finite f32 of its sign, so that only what was infinite arrives as infinite.
    """
    text = json.dumps(header, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    parts = [_PREFIX.pack(MAGIC, len(text)), text]
    for x, y in arrays:
        finite = np.isfinite(y)
        fitted = np.where(finite, np.clip(y, -_LARGEST, _LARGEST), y).astype("<f4")
        parts += [np.ascontiguousarray(x, "<f8").tobytes(), fitted.tobytes(), b"\0" * (-fitted.nbytes % 8)]
    return b"".join(parts)
