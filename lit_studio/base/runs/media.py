"""A run's pictures, tables and texts on disk: files in ``media/``, and a checksummed list of them in ``media.log``.

It must not know how a value becomes bytes, or who looks. Each item is one file that appears whole or not at all; it is
listed once it is complete, by a MEDIA block (see :mod:`lit_studio.base.runs.log`) whose payload is JSON::

    {"id", "name", "kind", "type", "step", "epoch", "time", "bytes", "crc", "caption", "width", "height"}
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import uuid
import zlib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from lit_studio.base.errors import InvalidValueError, RunRecordError
from lit_studio.base.runs.directory import RunDirectory
from lit_studio.base.runs.log import MEDIA, Block, BlockWriter, read_blocks

TYPES = {"image/png": ".png", "application/json": ".json"}
"""The only types that are stored and served: neither can run in a page."""
ITEM_BYTES = 16 * 1024 * 1024
"""More than this is never stored nor read, whatever a setting allows."""
_ID = re.compile(r"[0-9a-f]{12}")
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class MediaItem:
    """One stored value.

    Attributes:
        id: 12 hexadecimal characters.
        name: as given by the user.
        kind: ``image``, ``figure``, ``plotly``, ``histogram``, ``confusion``, ``table`` or ``text``.
        type: one of :data:`TYPES`.
        step, epoch: where the run stood.
        time: when, in seconds since the epoch.
        bytes, crc: the file's length and its CRC-32.
        caption: a line below it.
        width, height: pixels of a picture, 0 for others.
    """

    name: str
    kind: str
    type: str
    step: int
    epoch: int
    time: float
    bytes: int
    crc: int
    caption: str = ""
    width: int = 0
    height: int = 0
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    @property
    def file(self) -> str:
        """The file's name."""
        return self.id + TYPES[self.type]


class MediaWriter:
    """Puts items into a run's directory; threads may share one.

    Attributes:
        items, bytes: how many the run has, and how large they are together.
    """

    def __init__(self, run: RunDirectory):
        self._folder, self._log, self._lock = run.media_folder, run.media_log, threading.Lock()
        known = [item for block in read_blocks(self._log)[0] if (item := read_item(block)) is not None]
        self.items, self.bytes = len(known), sum(item.bytes for item in known)

    def add(self, item: MediaItem, data: bytes) -> None:
        """Store ``data`` and list it.

        Raises:
            OSError: the disk is full, read-only or gone; then nothing is listed and no part of it is left.
        """
        with self._lock:
            self._add(item, data)

    def _add(self, item: MediaItem, data: bytes) -> None:
        self._folder.mkdir(exist_ok=True)
        path = self._folder / item.file
        draft = path.with_name(f".{item.file}.{os.getpid()}.tmp")
        try:
            draft.write_bytes(data)
            draft.replace(path)
            self._list(item)
        except OSError:
            for left in (draft, path):
                with contextlib.suppress(OSError):
                    left.unlink()
            raise
        self.items += 1
        self.bytes += len(data)

    def _list(self, item: MediaItem) -> None:
        writer = BlockWriter(self._log)  # for a moment: a notebook may show something in many runs
        try:
            writer.append((MEDIA, json.dumps(asdict(item), allow_nan=False).encode()))
        finally:
            writer.close()


def read_item(block: Block) -> MediaItem | None:
    """The item that ``block`` lists; None if it lists none that makes sense."""
    if block.kind != MEDIA:
        return None
    try:
        record = json.loads(bytes(block.payload))
        known = {f.name for f in fields(MediaItem)}
        item = MediaItem(**{key: value for key, value in record.items() if key in known})
    except (ValueError, TypeError, AttributeError):
        return None
    return item if _makes_sense(item) else None


def _makes_sense(item: MediaItem) -> bool:
    texts = (item.id, item.name, item.kind, item.caption)
    if not all(isinstance(text, str) for text in texts) or item.type not in TYPES:
        return False
    numbers = (item.step, item.epoch, item.bytes, item.crc, item.width, item.height)
    return bool(_ID.fullmatch(item.id)) and all(isinstance(number, int) for number in numbers)


def read_media_file(run: RunDirectory, item: MediaItem) -> bytes:
    """The bytes of ``item``, if they are those that were stored.

    A directory may come from anywhere: links aren't followed, and what is no PNG or no JSON isn't handed out.

    Raises:
        RunRecordError: the file is missing, is another one, or isn't what its type says.
    """
    path = run.media_folder / item.file
    if not 0 <= item.bytes <= ITEM_BYTES:
        raise RunRecordError(f"{path.name} is larger than what is read", value=item.bytes, valid=f"≤ {ITEM_BYTES}")
    data = _read_regular(path, item.bytes)
    if len(data) != item.bytes or zlib.crc32(data) != item.crc:
        raise RunRecordError(f"{path} is damaged", advice="Its list entry has another length or checksum.")
    if item.type == "image/png":
        genuine = data.startswith(_PNG)
    else:
        try:
            genuine = isinstance(json.loads(data), dict)
        except ValueError:
            genuine = False
    if not genuine:
        raise RunRecordError(f"{path} is no {item.type}")
    return data


def _read_regular(path: Path, most: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise RunRecordError(f"{path} can't be read ({error.strerror})") from error


def check_item_id(text: str) -> str:
    """``text`` if it can be an item's id.

    Raises:
        InvalidValueError: it can't.
    """
    if not _ID.fullmatch(text):
        raise InvalidValueError("This is no item's id", value=text, valid="12 characters of 0-9 and a-f")
    return text


def describe_item(item: MediaItem) -> dict[str, Any]:
    """What a page is told of ``item``."""
    record = asdict(item)
    del record["crc"]
    return record
