"""Keeps a journal within its quota: its older part becomes one record of what it came to.

It must not know what a message means; the reducer does. Run by a keeper as a process of its own, as a journal takes
memory to read: ``python -m lit_studio.kernels.folding FOLDER QUOTA``.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

from lit_studio.base.files import sync_folder
from lit_studio.kernels import journal
from lit_studio.kernels.journal import FOLDED, MAGIC
from lit_studio.kernels.reducer import Reducer

NICE = 10


def fold(folder: Path, quota: int) -> bool:
    """Replace all segments but the newest, which the kernel writes, by one that holds their outcome.

    The new segment takes the place of the newest of those in one step, and says all that the older ones did. So a
    crash at any moment leaves a journal that reads the same.

    Args:
        folder: the journal's.
        quota: bytes; nothing is done while the journal is smaller.

    Returns:
        Whether something was folded.

    Raises:
        OSError: the disk is full, or the folder is gone.
    """
    found = journal.segments(folder)
    closed = found[:-1]
    if (
        sum(path.stat().st_size for path in found) <= quota
        or not closed
        or (len(closed) == 1 and _is_folded(closed[0]))
    ):
        return False
    reducer, reader, last = Reducer(), journal.JournalReader(folder), 0
    for path in closed:
        for record in reader.read_segment(path):
            reducer.feed(record)
            last = record.number
    if not last:
        return False
    draft = folder / ".folding"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(MAGIC)
        for piece in journal.encode(last, time.time(), FOLDED, [reducer.fold()]):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(closed[-1])
    sync_folder(folder)
    for path in closed[:-1]:
        path.unlink(missing_ok=True)
    return True


def _is_folded(path: Path) -> bool:
    record = next(journal.JournalReader(path.parent).read_segment(path), None)
    return record is not None and record.kind == FOLDED


def main() -> int:
    """Fold the journal on the command line, unless somebody does already."""
    folder, quota = Path(sys.argv[1]), int(sys.argv[2])
    os.nice(NICE)  # a cell has the machine first
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fold(folder, quota)
    except BlockingIOError:
        return 0
    finally:
        os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
