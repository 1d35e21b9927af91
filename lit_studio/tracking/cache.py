"""Readers kept for a server that is asked about many runs, within bounded memory.

It must not know who asks.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from lit_studio.base.runs import RunDirectory
from lit_studio.tracking.reader import RunReader

READERS = 32
BYTES = 512 * 1024 * 1024


class ReaderCache:
    """The readers used last, at most ``readers`` of them and ``nbytes`` bytes together.

    The bounds are seen to whenever a reader is asked for. That one stays even if it alone is larger than
    ``nbytes``; one that was dropped reads its run again when it is next asked for. Safe to use from several threads.

    Args:
        readers: how many to keep.
        nbytes: bytes of points to keep (512 MiB hold about 30 million points).
    """

    def __init__(self, readers: int = READERS, nbytes: int = BYTES):
        self._limit, self._limit_bytes = readers, nbytes
        self._lock = threading.Lock()
        self._readers: OrderedDict[tuple[str, str], RunReader] = OrderedDict()
        self._sparklines: OrderedDict[tuple[str, int], tuple[tuple[int, int], list[float]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._readers)

    def get(self, run: RunDirectory) -> RunReader:
        """The reader of ``run``."""
        key = (run.info.id, str(run.path))
        with self._lock:
            reader = self._readers.pop(key, None) or RunReader(run)
            self._readers[key] = reader
            self._shrink()
            return reader

    def sparkline(self, run: RunDirectory, n: int = 40) -> list[float]:
        """:meth:`RunReader.sparkline`, remembered until the run's metrics change, so that a finished run is read once.

        Raises:
            RunNotFoundError: the run is gone.
            RunRecordError: its record can't be read.
        """
        try:
            stat = run.metrics_log.stat()
        except OSError:
            return []
        key, state = (run.info.id, n), (stat.st_ino, stat.st_size)
        with self._lock:
            known = self._sparklines.get(key)
        if known is not None and known[0] == state:
            return known[1]
        line = self.get(run).sparkline(n)
        with self._lock:
            self._sparklines[key] = state, line
            self._sparklines.move_to_end(key)
            while len(self._sparklines) > 8 * self._limit:
                self._sparklines.popitem(last=False)
        return line

    def _shrink(self) -> None:
        sizes = {key: reader.nbytes for key, reader in self._readers.items()}
        total = sum(sizes.values())
        for key in list(self._readers)[:-1]:
            if len(self._readers) <= self._limit and total <= self._limit_bytes:
                return
            del self._readers[key]
            total -= sizes[key]
