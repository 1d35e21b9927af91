"""Files that appear whole or not at all: drafts beside them, links, and what dead writers left.

It must not know what the files hold.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import shutil
import socket
import time
import zlib
from pathlib import Path

from lit_studio.base.processes import process_alive, process_start_time

_TEMPORARY = ".lit-studio-"
_TEMPORARY_NAME = re.compile(r"\.lit-studio-([0-9a-f]{8})-(\d+)-(\d+)-\d+\.tmp")
# Left by another machine (a shared disk), whose processes can't be asked: this old is abandoned.
_ABANDONED_AFTER = 24 * 3600.0
_serial = itertools.count()


def draft_of(path: Path) -> Path:
    """A new name beside ``path`` to write to before renaming; it tells its writer, so that :func:`sweep_drafts` can."""
    pid = os.getpid()
    return path.with_name(f"{_TEMPORARY}{_host()}-{pid}-{process_start_time(pid):.0f}-{next(_serial)}.tmp")


def link_file(source: Path | str, target: Path | str, symbolic: bool = False) -> None:
    """Give the complete file ``source`` the second name ``target``, replaced in one step if it exists.

    Args:
        source: a file that is complete on disk.
        target: the other name, on the same file system.
        symbolic: a symbolic link, which dies with ``source``; else a hard link, which doesn't. A file system without
            links gets a copy.

    Raises:
        OSError: the folder can't be written.
    """
    source, target = Path(source), Path(target)
    draft = draft_of(target)
    try:
        try:
            if symbolic:
                draft.symlink_to(os.path.relpath(source, target.parent))
            else:
                draft.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, draft)
        draft.replace(target)
        sync_folder(target.parent)
    finally:
        draft.unlink(missing_ok=True)  # a rename between two names of one file leaves both


def sweep_drafts(folder: Path) -> None:
    """Remove the drafts in ``folder`` whose writers are dead."""
    for name in os.listdir(folder):  # noqa: PTH208 - runs before each save, in folders of any size
        match = _TEMPORARY_NAME.fullmatch(name) if name.startswith(_TEMPORARY) else None
        if match is None:
            continue
        with contextlib.suppress(OSError):
            if match[1] == _host():
                stale = not process_alive(int(match[2]), float(match[3]))
            else:
                stale = time.time() - (folder / name).stat().st_mtime > _ABANDONED_AFTER
            if stale:
                (folder / name).unlink()


def sync_folder(folder: Path) -> None:
    """Have the names in ``folder`` on disk, not only the files' contents.

    Raises:
        OSError: ``folder`` can't be opened, or its disk failed.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems can't sync a folder; the rename itself has succeeded.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"
