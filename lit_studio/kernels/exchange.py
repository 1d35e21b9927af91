"""A file gets new content if it still holds what was read, and no edit of anybody's is lost if it doesn't.

It must not know what the file holds.

Others may write at the same moment, in place or by renaming, and take no locks. So the new content is *exchanged* with
the file, in one step, and what came out is looked at: if it isn't what was read, it goes back in and the caller reads
again. An editor that has the file open for writing is waited for, and one that is about to open it waits for us: both
by a lease, which Linux grants on files that nobody writes, and which holds up those who want to.
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
from typing import BinaryIO, Literal

from lit_studio.base.files import draft_of, sync_folder

WRITER_PATIENCE = 2.0  # seconds for which an editor that has the file open is waited for
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_NO_WRITER, _NOBODY = fcntl.F_RDLCK, fcntl.F_WRLCK  # of whom a file is free while it is leased
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
            new = _write_draft(draft, content, before)
        except PermissionError:  # the folder is closed, the file may be open
            return go_on() and _write_in_place(before, content)
        with new:
            if not (go_on() and before.is_current()):
                return False
            if before.stat.st_nlink > 1:
                return _write_in_place(before, content)
            try:
                with before.path.open("rb") as old:
                    return _exchange_and_look(old, new, draft, before, content)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return False
                if error.errno not in _CANNOT:
                    raise
            return _replace_blindly(draft, before, content)
    finally:
        draft.unlink(missing_ok=True)


def _exchange_and_look(old: BinaryIO, new: BinaryIO, draft: Path, before: Reading, content: bytes) -> bool:
    """The exchange, between leases: nobody begins to write the old file, nor to read the new, while it isn't certain.

    Raises:
        OSError: names can't change places here; nothing has happened.
    """
    leased = _lease(old.fileno(), _NO_WRITER)
    if _identity(os.fstat(old.fileno())) != _identity(before.stat) or old.read() != before.content:
        return False
    _lease(new.fileno(), _NOBODY)
    _exchange(draft, before.path)
    if draft.stat().st_ino == before.stat.st_ino and not (leased and _is_wanted(old.fileno())):
        _release(new.fileno())
        _release(old.fileno())
        _wait_for_writers(old.fileno())  # one may have been on its way into it
        old.seek(0)
        if old.read() == before.content:
            sync_folder(before.path.parent)
            return True
    return _undo(old, new, draft, before, content)


def _undo(old: BinaryIO, new: BinaryIO, draft: Path, before: Reading, content: bytes) -> Literal[False]:
    """What came out holds somebody's edit, or is about to: it goes back, unless there is a yet newer one in its place.

    Who waits to read the new file has its name behind him already, so it has to say the same.
    """
    edited = draft.read_bytes()
    new.seek(0)
    with contextlib.suppress(FileNotFoundError):
        if before.path.stat().st_ino == os.fstat(new.fileno()).st_ino and new.read() == content:
            new.seek(0)
            new.write(edited)
            new.truncate()
            new.flush()
            _exchange(draft, before.path)
            _release(old.fileno())
            _release(new.fileno())
            with draft.open("rb") as ours:
                _wait_for_writers(ours.fileno(), but=new)
                if ours.read() == edited:
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


def _write_draft(draft: Path, content: bytes, like: Reading) -> BinaryIO:
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    file = os.fdopen(descriptor, "w+b")
    try:
        file.write(content)
        file.flush()
        with contextlib.suppress(OSError):  # not the owner: the group and the mode have to do
            os.fchown(file.fileno(), like.stat.st_uid, like.stat.st_gid)
        with contextlib.suppress(OSError):
            shutil.copystat(like.path, draft)
        os.utime(file.fileno())
        os.fsync(file.fileno())
    except BaseException:
        file.close()
        raise
    return file


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


def _wait_for_writers(descriptor: int, but: BinaryIO | None = None) -> None:
    """Until nobody has this file open for writing, or the patience is at its end.

    Args:
        descriptor: open for reading only.
        but: our own way to write to it, which is closed.
    """
    if but is not None:
        but.close()
    _lease(descriptor, _NO_WRITER)
    _release(descriptor)


def _lease(descriptor: int, kind: int) -> bool:
    """Take a lease once nobody else has this file open: who wants to open it then waits until the release.

    Args:
        descriptor: open for reading only if ``kind`` is ``_NO_WRITER``.
        kind: who is kept waiting: ``_NO_WRITER`` or ``_NOBODY``.

    Returns:
        False if an editor doesn't let go, or where there are no leases: other systems, some file systems, files of
        others.
    """
    until = time.monotonic() + WRITER_PATIENCE
    while time.monotonic() < until:
        try:
            # A lease that is in somebody's way is told to its process by a signal, and the usual one would end it.
            fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, kind)
            return True
        except AttributeError:
            return False
        except OSError as error:
            if error.errno != errno.EAGAIN:
                time.sleep(0.02)  # all that is left: most editors are faster
                return False
        time.sleep(0.005)
    return False


def _is_wanted(descriptor: int) -> bool:
    """Whether somebody waits for the lease's end."""
    return fcntl.fcntl(descriptor, fcntl.F_GETLEASE) != fcntl.F_RDLCK


def _release(descriptor: int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def _conflict_name(path: Path) -> Path:
    for number in range(1, 1000):
        name = path.with_name(f"{path.stem}.conflict{'' if number == 1 else f'-{number}'}{path.suffix}")
        if not name.exists():
            return name
    return path.with_name(f"{path.stem}.conflict-{time.time_ns()}{path.suffix}")


def _identity(stat: os.stat_result) -> tuple[int, int, int, int]:
    return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size
