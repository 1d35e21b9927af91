"""A kernel's journal: every message it published, written ahead in numbered segments, and read again after any crash.

It must not know what a message means, nor import anything outside the standard library: the kernel loads this file by
its path, in whatever environment it lives.

A segment ``journal-N.bin`` starts with the magic ``LSJ1`` and four zero bytes. Records follow, little-endian: u32
length of the body, u32 CRC-32 of all that follows it, u64 number, f64 seconds since the epoch, the body. A body is u8
kind, u16 count of parts, u32 length of each part, the parts. Numbers grow by one from record to record through all
segments; a jump means that records were lost, folded, or damaged on disk.
"""

from __future__ import annotations

import os
import re
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAGIC = b"LSJ1\0\0\0\0"
MESSAGE, REQUEST, FOLDED = 0, 1, 2  # what a record holds: an IOPub message, an execute request's address, a summary
SEGMENT_BYTES = 8 << 20
MOST_BYTES = 1 << 31  # of one record; a larger length is damage

_HEAD = struct.Struct("<IIQd")
_LENGTH_AND_CRC = struct.Struct("<II")
_NUMBER_AND_TIME = struct.Struct("<Qd")
_KIND = struct.Struct("<BH")
_NAME = re.compile(r"journal-(\d{8})\.bin")


class Record(NamedTuple):
    """One record.

    Attributes:
        number: its place in the journal, from 1.
        time: when it was written, in seconds since the epoch.
        kind: :data:`MESSAGE`, :data:`REQUEST` or :data:`FOLDED`.
        parts: for a message its header, parent header, metadata, content and buffers, as on the wire.
    """

    number: int
    time: float
    kind: int
    parts: list[bytes]


def segments(folder: Path | str) -> list[Path]:
    """The segments in ``folder``, oldest first; none if there is no folder."""
    try:
        names = sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))  # noqa: PTH208 - a hot path
    except FileNotFoundError:
        return []
    return [Path(folder, name) for name in names]


def segment_number(path: Path) -> int:
    """The N of ``journal-N.bin``."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else 0


def segment_path(folder: Path | str, number: int) -> Path:
    """Where segment ``number`` of the journal in ``folder`` lies."""
    return Path(folder, f"journal-{number:08d}.bin")


def encode(number: int, when: float, kind: int, parts: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    """A record as the pieces to write one after the other.

    Args:
        number: its place in the journal.
        when: seconds since the epoch.
        kind: what it holds.
        parts: bytes, at most 65,535 of them.
    """
    lengths = [memoryview(part).nbytes for part in parts]
    head = struct.pack(f"<BH{len(lengths)}I", kind, len(lengths), *lengths)
    stamp = _NUMBER_AND_TIME.pack(number, when)
    crc = zlib.crc32(head, zlib.crc32(stamp))
    for part in parts:
        crc = zlib.crc32(part, crc)
    return [_LENGTH_AND_CRC.pack(len(head) + sum(lengths), crc) + stamp + head, *parts]


class JournalWriter:
    """Appends to a journal, from any thread of one process. A new writer begins a new segment.

    A record is on its way to disk when :meth:`append` returns: it outlives this process, and whoever looks after the
    journal syncs it for the case that the machine dies. A disk that is full or broken never stops the caller: what
    can't be written is counted, and the numbers show the gap.

    Args:
        folder: made if it is missing, for its owner only.
        segment_bytes: a segment that has grown beyond this is followed by a new one.

    Attributes:
        lost: records that could not be written.
        error: why the last of them could not, None if none was lost.

    Raises:
        OSError: the folder can't be made or written.
    """

    def __init__(self, folder: Path | str, segment_bytes: int = SEGMENT_BYTES):
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._limit = folder, segment_bytes
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._number = last_number(folder)
        self._segment = max(map(segment_number, segments(folder)), default=0)
        self._file = -1
        self.lost = 0
        self.error: OSError | None = None
        self._begin_segment()

    def append(self, kind: int, parts: Sequence[bytes | memoryview]) -> int:
        """Write a record and return its number; 0 in a forked child, whose messages are not the kernel's.

        Args:
            kind: :data:`MESSAGE` or :data:`REQUEST`.
            parts: bytes; see :class:`Record`.
        """
        if os.getpid() != self._process:
            return 0
        with self._lock:
            self._number += 1
            pieces = encode(self._number, time.time(), kind, parts)
            try:
                if self._size >= self._limit:
                    self._begin_segment()
                self._write(pieces)
            except OSError as error:
                self.lost, self.error = self.lost + 1, error
            return self._number

    def close(self) -> None:
        """Close the file; nothing more can be appended."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _begin_segment(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(segment_path(self._folder, self._segment + 1), flags, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._segment, self._size = file, self._segment + 1, 0
        self._write([MAGIC])

    def _write(self, pieces: list[bytes | memoryview]) -> None:
        wanted = sum(memoryview(piece).nbytes for piece in pieces)
        whole = pieces if len(pieces) <= 1000 else [b"".join(pieces)]  # a call takes 1,024 of them
        try:
            written = os.writev(self._file, whole)
            if written < wanted:  # a signal or a disk that became full in the middle
                rest = memoryview(b"".join(whole))[written:]
                while rest:
                    count = os.write(self._file, rest)
                    rest = rest[count:]
        except OSError:
            os.ftruncate(self._file, self._size)  # half a record would hide those that come after it
            raise
        self._size += wanted


class JournalReader:
    """Follows a journal: each :meth:`read` returns what came since the last one.

    Args:
        folder: the journal's.
        after: pass over records up to this number.
        first_segment: and over segments before this one, unread.

    Attributes:
        damaged: records or segments' tails that could not be read because their bytes are not what was written.
    """

    def __init__(self, folder: Path | str, after: int = 0, first_segment: int = 0):
        self._folder, self._after = folder, after
        self._segment, self._offset, self._file = first_segment, len(MAGIC), 0
        self.damaged = 0

    def read(self) -> Iterator[Record]:
        """Records that were written since, in their order. A record that is being written comes next time."""
        for path in segments(self._folder):
            if segment_number(path) >= self._segment:
                yield from self.read_segment(path)

    def read_segment(self, path: Path) -> Iterator[Record]:
        """What came since in one segment, none that is older than the one that was read last."""
        number = segment_number(path)
        if number > self._segment:
            self._segment, self._offset, self._file = number, len(MAGIC), 0
        try:
            file = path.open("rb", buffering=1 << 20)
        except FileNotFoundError:  # folded away meanwhile
            return
        with file:
            if file.read(len(MAGIC)) != MAGIC:
                return
            identity = os.fstat(file.fileno()).st_ino
            if self._file not in (0, identity):  # folded: another file, which begins anew
                self._offset = len(MAGIC)
            self._file = identity
            file.seek(self._offset)
            while (found := _next(file)) is not None:
                record, length = found
                if record is None:
                    self.damaged += 1
                self._offset += length
                if record is not None and record.number > self._after:
                    self._after = record.number
                    yield record


def _next(file: BinaryIO) -> tuple[Record | None, int] | None:
    """The record at the file's place and its length; None for the record if it is damaged but can be passed over.

    None altogether at the end, be it whole or torn.
    """
    start = file.tell()
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, crc, number, when = _HEAD.unpack(head)
    if not _KIND.size <= length <= MOST_BYTES:
        return None
    body = file.read(length)
    if len(body) < length:
        return None
    if zlib.crc32(body, zlib.crc32(head[_LENGTH_AND_CRC.size :])) == crc:
        kind, count = _KIND.unpack_from(body)
        place, parts = _KIND.size + 4 * count, []
        for size in struct.unpack_from(f"<{count}I", body, _KIND.size):
            parts.append(body[place : place + size])
            place += size
        return Record(number, when, kind, parts), _HEAD.size + length
    # If whole records follow, only this one's bytes have changed; else its length has, or it is still being written.
    follows = _next(file)
    file.seek(start + _HEAD.size + length)
    return None if follows is None else (None, _HEAD.size + length)


def read(folder: Path | str, after: int = 0) -> Iterator[Record]:
    """The whole journal in ``folder``, from the record after number ``after``."""
    return JournalReader(folder, after).read()


def last_number(folder: Path | str) -> int:
    """The number of the journal's last whole record, 0 for an empty one; reads only as many segments as it must."""
    for path in reversed(segments(folder)):
        number = 0
        for record in JournalReader(folder).read_segment(path):
            number = record.number
        if number:
            return number
    return 0
