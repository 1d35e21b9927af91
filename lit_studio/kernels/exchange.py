"""A file gets new content if it still holds what was read, and no edit of anybody's is lost if it doesn't.

It must not know what the file holds.

Others may write at the same moment, in place or by renaming, and take no locks. So the new content is *exchanged* with
the file, in one step, and what came out is looked at: if it isn't what was read, it goes back in and the caller reads
again. An editor that has the file open for writing is waited for (a lease tells whether there is one).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lit_studio.base.files import draft_of, sync_folder

WRITER_PATIENCE = 2.0  # seconds for which an editor that has the file open is waited for
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
# What a file system says that can't exchange names, or a mount that is a single file.
_CANNOT = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EACCES}


@dataclass(frozen=True)
class Reading:
    """A file as it was read.

    Attributes:
        path: the file itself, behind all symbolic links.
        content: its bytes.
        stat: what the file system said of it.
    """

    path: Path
    content: bytes
    stat: os.stat_result

    @classmethod
    def of(cls, path: Path) -> Reading:
        """Read ``path``.

        Raises:
            OSError: it is gone, or can't be read.
        """
        path = path.resolve()
        with path.open("rb") as file:
            _wait_for_writers(file.fileno())
            stat = os.fstat(file.fileno())
            return cls(path, file.read(), stat)

    def is_current(self) -> bool:
        """Whether the file looks as it did."""
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return False
        return _identity(now) == _identity(self.stat)


def replace(before: Reading, content: bytes, go_on: Callable[[], bool] = lambda: True) -> bool:
    """Give the file ``content`` if it still holds what was read; whether it has it now.

    Its owner, mode, other attributes and hard links stay as they are.

    Args:
        before: the file as it was read.
        content: what it is to hold.
        go_on: asked at the last moment; False leaves the file alone.

    Raises:
        OSError: the disk is full, or the file can't be written.
    """
    draft = draft_of(before.path)
    try:
        try:
            _write_draft(draft, content, before.stat, before.path)
        except PermissionError:  # the folder is closed, the file may be open
            return go_on() and _write_in_place(before, content)
        if not (go_on() and before.is_current()):
            return False
        if before.stat.st_nlink > 1:
            return _write_in_place(before, content)
        try:
            _exchange(draft, before.path)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            return _replace_blindly(draft, before, content)
        return _look_at_what_came_out(draft, before, content)
    finally:
        draft.unlink(missing_ok=True)


def _look_at_what_came_out(draft: Path, before: Reading, content: bytes) -> bool:
    """After the exchange: ``draft`` is what the file was. Keep the exchange, or undo it."""
    ours = before.path.stat().st_ino if before.path.exists() else 0
    with draft.open("rb") as old:
        if old.read() == before.content:
            _wait_for_writers(old.fileno())  # one that had opened it before may still write into it
            old.seek(0)
            if old.read() == before.content:
                sync_folder(before.path.parent)
                return True
    # Somebody's edit: it goes back, unless there is a yet newer one in its place.
    with contextlib.suppress(FileNotFoundError):
        if before.path.stat().st_ino == ours and before.path.read_bytes() == content:
            _exchange(draft, before.path)
            if draft.read_bytes() == content:
                return False
    draft.replace(_conflict_name(before.path))
    return False


def _replace_blindly(draft: Path, before: Reading, content: bytes) -> bool:
    """Where names can't be exchanged: the look right before has to do."""
    if not before.is_current():
        return False
    try:
        draft.replace(before.path)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        return _write_in_place(before, content)
    sync_folder(before.path.parent)
    return True


def _write_in_place(before: Reading, content: bytes) -> bool:
    """For a file that has several names, or lies where none can be made: its inode has to stay.

    Meanwhile the draft, which is complete on disk, is what a crash leaves of it.
    """
    with before.path.open("r+b") as file:
        if _identity(os.fstat(file.fileno())) != _identity(before.stat) or file.read() != before.content:
            return False
        file.seek(0)
        file.write(content)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
    return True


def _write_draft(draft: Path, content: bytes, stat: os.stat_result, original: Path) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        with contextlib.suppress(OSError):  # not the owner: the group and the mode have to do
            os.fchown(file.fileno(), stat.st_uid, stat.st_gid)
        with contextlib.suppress(OSError):
            shutil.copystat(original, draft)
        os.utime(file.fileno())
        os.fsync(file.fileno())


def _exchange(one: Path, other: Path) -> None:
    """Let two names change places in one step (Linux).

    Raises:
        OSError: this system or file system can't.
    """
    if not sys.platform.startswith("linux"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    library = ctypes.CDLL(None, use_errno=True)
    try:
        call = library.renameat2
    except AttributeError:  # an old or another C library
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


def _wait_for_writers(descriptor: int) -> None:
    """Until nobody has this file open for writing, or the patience is at its end; needs a reading descriptor."""
    until = time.monotonic() + WRITER_PATIENCE
    while time.monotonic() < until:
        try:
            # A lease is told to a process by a signal, and the usual one would end it.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            return
        except AttributeError:  # not Linux
            return
        except OSError as error:
            if error.errno != errno.EAGAIN:  # another's file, or a file system without leases
                time.sleep(0.02)
                return
        time.sleep(0.005)


def _conflict_name(path: Path) -> Path:
    for number in range(1, 1000):
        name = path.with_name(f"{path.stem}.conflict{'' if number == 1 else f'-{number}'}{path.suffix}")
        if not name.exists():
            return name
    return path.with_name(f"{path.stem}.conflict-{time.time_ns()}{path.suffix}")


def _identity(stat: os.stat_result) -> tuple[int, int, int, int]:
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size
