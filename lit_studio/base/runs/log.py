"""An append-only file of checksummed blocks, and the two kinds of block that metrics are made of.

It must not know of runs or events. The format, little-endian throughout::

    block    = magic "LSB1" · kind u8 · 3 zero bytes · length u32 · crc32 u32 (of the payload) · payload
    SERIES   = JSON {"id": int, "name": str, "prog_bar": bool}
    POINTS   = time f64 · active f64 · samples u64 · epoch u32 · chunks u32 · chunk…
    chunk    = series u32 · count u32 · first step i64 · stride i64 · value f64 × count [· step i64 × count]
    EVENT    = JSON, see ``events.event_to_dict``
    START    = JSON {"stage": str, "step": int}: points from here on belong to another execution
    MEDIA    = JSON, see ``media.MediaItem``

A ``stride`` of −1 says that the steps follow explicitly; otherwise step i is ``first + i * stride``. A reader
stops at the first block that is short or whose checksum differs: what a crash tore off is ignored.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"LSB1"
SERIES, POINTS, EVENT, START, MEDIA = 1, 2, 3, 4, 5
_HEADER = struct.Struct("<4sB3xII")
_POINTS = struct.Struct("<ddQII")
_CHUNK = struct.Struct("<IIqq")
EXPLICIT = -1
MAX_PAYLOAD = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """One valid block: its kind, its payload, and the file offset right after it."""

    kind: int
    payload: memoryview
    end: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Points of one series inside a POINTS block; ``values`` is ``count`` little-endian f64.

    ``steps`` holds explicit little-endian i64 steps, or is None where ``first`` and ``stride`` say them.
    """

    series: int
    count: int
    first: int
    stride: int
    values: memoryview
    steps: memoryview | None


@dataclass(frozen=True, slots=True)
class PointsBlock:
    """A decoded POINTS block: when it was flushed, in which epoch, and its chunks."""

    time: float
    active: float
    samples: int
    epoch: int
    chunks: tuple[Chunk, ...]


class BlockWriter:
    """Appends blocks to ``path``; a torn tail left by a crash is cut off first.

    Each :meth:`append` is one ``write`` without buffering, so a reader sees a block whole or not at all, and
    the data outlives the process (not a power failure: there is no fsync on this path).
    """

    def __init__(self, path: Path):
        end = 0
        if path.exists():
            for block in read_blocks(path)[0]:
                end = block.end
        self._file = path.open("ab", buffering=0)
        if self._file.tell() != end:
            self._file.truncate(end)

    def append(self, *blocks: tuple[int, bytes]) -> None:
        """Append ``(kind, payload)`` blocks in one write.

        Raises:
            OSError: the disk is full or gone; the file is cut back to the last whole block.
            ValueError: a payload is larger than a reader accepts; nothing is written.
        """
        parts = []
        for kind, payload in blocks:
            if len(payload) > MAX_PAYLOAD:
                raise ValueError(f"a block of {len(payload)} bytes is larger than {MAX_PAYLOAD}")
            parts.append(_HEADER.pack(MAGIC, kind, len(payload), zlib.crc32(payload)))
            parts.append(payload)
        data = b"".join(parts)
        start = os.fstat(self._file.fileno()).st_size
        try:
            written = self._file.write(data)
        except OSError:
            self._file.truncate(start)
            raise
        if written != len(data):
            self._file.truncate(start)
            raise OSError(28, "No space left on device", str(self._file.name))

    def close(self) -> None:
        """Close the file; more appends fail."""
        self._file.close()


def read_blocks(path: Path, offset: int = 0, limit: int | None = None) -> tuple[list[Block], int]:
    """All whole blocks from ``offset`` on, and the offset at which to go on next time.

    Args:
        path: the file; one that does not exist reads as empty.
        offset: 0 or an offset returned before.
        limit: read at most about this many bytes (at least one block), None for all.

    A block that is cut off or whose checksum differs ends the list; its bytes are read again next time.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = memoryview(file.read() if limit is None else file.read(limit + MAX_PAYLOAD))
    except FileNotFoundError:
        return [], offset
    blocks: list[Block] = []
    at = 0
    while at + _HEADER.size <= len(data) and (limit is None or at < limit):
        magic, kind, length, crc = _HEADER.unpack_from(data, at)
        body = at + _HEADER.size
        if magic != MAGIC or length > MAX_PAYLOAD or body + length > len(data):
            break
        payload = data[body : body + length]
        if zlib.crc32(payload) != crc:
            break
        at = body + length
        blocks.append(Block(kind, payload, offset + at))
    return blocks, offset + at


def encode_points(
    time: float,
    active: float,
    samples: int,
    epoch: int,
    chunks: Iterable[tuple[int, Sequence[int], Sequence[float]]],
) -> bytes:
    """Payload of a POINTS block; each chunk is ``(series id, steps, values)`` with equal, non-zero lengths."""
    parts = []
    count = 0
    for series, steps, values in chunks:
        first, stride = steps[0], (steps[1] - steps[0] if len(steps) > 1 else 1)
        regular = isinstance(steps, range) and stride >= 0
        if not regular and stride > 0:
            regular = list(steps) == list(range(first, first + len(steps) * stride, stride))
        elif not regular:
            regular = stride == 0 and steps[-1] == first and all(step == first for step in steps)
        parts.append(_CHUNK.pack(series, len(values), first, stride if regular else EXPLICIT))
        parts.append(_little(array("d", values)))
        if not regular:
            parts.append(_little(array("q", steps)))
        count += 1
    return _POINTS.pack(time, active, samples, epoch, count) + b"".join(parts)


def decode_points(payload: memoryview) -> PointsBlock:
    """The inverse of :func:`encode_points`, without copying the values.

    Raises:
        ValueError: the payload is shorter than what it announces.
    """
    if len(payload) < _POINTS.size:
        raise ValueError("a POINTS block is shorter than its header")
    time, active, samples, epoch, count = _POINTS.unpack_from(payload)
    at = _POINTS.size
    chunks = []
    for _ in range(count):
        if at + _CHUNK.size > len(payload):
            raise ValueError("a POINTS block ends inside a chunk")
        series, n, first, stride = _CHUNK.unpack_from(payload, at)
        at += _CHUNK.size
        ends = at + 8 * n, at + 8 * n * (2 if stride == EXPLICIT else 1)
        if ends[1] > len(payload):
            raise ValueError("a POINTS block ends inside a chunk")
        steps = payload[ends[0] : ends[1]] if stride == EXPLICIT else None
        chunks.append(Chunk(series, n, first, stride, payload[at : ends[0]], steps))
        at = ends[1]
    return PointsBlock(time, active, samples, epoch, tuple(chunks))


def _little(values: array[float] | array[int]) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
