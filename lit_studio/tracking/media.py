"""The pictures, tables and texts of one run: what there is, and the bytes of each.

It must not know how they are drawn, nor over what wire they go.
"""

from __future__ import annotations

import threading
from typing import Any

from lit_studio.base.errors import InvalidValueError
from lit_studio.base.runs import RunDirectory
from lit_studio.base.runs.media import MediaItem, check_item_id, describe_item, read_item, read_media_file
from lit_studio.tracking.files import Follower


class MediaIndex:
    """Reads a run's list as it grows; safe to use from several threads."""

    def __init__(self, run: RunDirectory):
        self._run, self._log, self._lock = run, Follower(run.media_log), threading.Lock()
        self._items: dict[str, MediaItem] = {}

    def count(self) -> int:
        """How many items there are."""
        with self._lock:
            self._refresh()
            return len(self._items)

    def listing(self) -> list[dict[str, Any]]:
        """One entry for each name and kind, in the order in which they first appeared.

        Returns:
            dicts of ``name``, ``kind``, ``bytes`` (of all its items) and ``items``, ordered by step and then by time,
            each with ``id``, ``type``, ``step``, ``epoch``, ``time``, ``bytes``, ``caption``, ``width``, ``height``.
        """
        with self._lock:
            self._refresh()
            items = list(self._items.values())
        groups: dict[tuple[str, str], list[MediaItem]] = {}
        for item in items:
            groups.setdefault((item.name, item.kind), []).append(item)
        return [
            {
                "name": name,
                "kind": kind,
                "bytes": sum(item.bytes for item in group),
                "items": [_without_group(item) for item in sorted(group, key=lambda item: (item.step, item.time))],
            }
            for (name, kind), group in groups.items()
        ]

    def read(self, item_id: str) -> tuple[str, bytes]:
        """The media type and the bytes of one item.

        Raises:
            InvalidValueError: this run has no such item.
            RunRecordError: its file is gone or damaged.
        """
        check_item_id(item_id)
        with self._lock:
            self._refresh()
            item = self._items.get(item_id)
        if item is None:
            raise InvalidValueError(
                "This run has no such item", value=item_id, advice="The list names those there are."
            )
        return item.type, read_media_file(self._run, item)

    def _refresh(self) -> None:
        if self._log.replaced():
            self._items = {}
            self._log.restart()
        for blocks in self._log.new_blocks():
            for block in blocks:
                if (item := read_item(block)) is not None:
                    self._items.setdefault(item.id, item)


def _without_group(item: MediaItem) -> dict[str, Any]:
    record = describe_item(item)
    del record["name"], record["kind"]
    return record
