"""A checkpoint file on disk: written whole or not at all, and verified before it is read.

It must not know what a checkpoint means: the trainer makes and takes up the state, this module moves it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

import torch

from lit_studio.base.errors import CheckpointCorruptError, CheckpointError, CheckpointNotFoundError
from lit_studio.base.files import draft_of, sweep_drafts, sync_folder

_SIBLINGS_TRIED = 5
_PICKLE = b"\x80"


def write_checkpoint(path: Path | str, state: Mapping[str, Any]) -> None:
    """Write ``state`` to ``path`` (its folder is made) so that a crash at any moment leaves the older file or the new.

    The bytes go to a temporary file in the same folder, are synced, and take the name in one step; then the folder is
    synced. Temporary files that died writers of ours left there are removed.

    Args:
        path: the target, replaced if it exists.
        state: anything ``torch.save`` takes.

    Raises:
        CheckpointError: there is not enough space, an entry can't be pickled, or ``path`` is a directory.
        OSError: the folder can't be made or written.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError("A checkpoint can't be written over a directory", value=str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_drafts(path.parent)
    needed = _estimate_bytes(state)
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise _no_space(path, needed, free)
    draft = draft_of(path)
    try:
        _save(state, draft, path, needed)
        draft.replace(path)
    except BaseException:  # ^C included: the temporary file must go
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    sync_folder(path.parent)


class _Sink(io.RawIOBase):
    """The file that torch writes into; remembers the error of a failed write, of which torch tells only a position."""

    def __init__(self, path: Path):
        super().__init__()
        self._file = path.open("xb", buffering=0)
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        view, done = memoryview(data).cast("B"), 0
        try:
            while done < len(view):  # one write may take less than it is given, on a disk that is getting full
                done += self._file.write(view[done:])
        except OSError as error:
            self.error = error
            raise
        return done

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
        super().close()


def _save(state: Mapping[str, Any], draft: Path, path: Path, needed: int) -> None:
    checked = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(True)
    sink = _Sink(draft)
    try:
        torch.save(state, cast(IO[bytes], sink))
        sink.sync()
    except (OSError, RuntimeError) as error:
        cause = sink.error or error
        if getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            written = draft.stat().st_size
            free = shutil.disk_usage(path.parent).free + written  # as it was before this attempt
            raise _no_space(path, max(needed, written), free) from cause
        raise cause from None
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        entry = _unpicklable(state)
        if entry is None:
            raise
        raise CheckpointError(
            f"The checkpoint's entry {entry!r} can't be pickled ({error})",
            advice="Keep out of it what can't be pickled, such as lambdas, locks and open files; "
            "for hyper-parameters: save_hyperparameters(ignore=[…]).",
        ) from error
    finally:
        sink.close()
        torch.serialization.set_crc32_options(checked)


def _no_space(path: Path, needed: int, free: int) -> CheckpointError:
    older = "; the older file is untouched" if path.exists() else ""
    return CheckpointError(
        f"There is no space for the checkpoint {str(path)!r}{older}",
        value=f"{free / 1e6:.1f} MB free",
        valid=f"at least {needed / 1e6:.1f} MB",
        advice="Free some space, lower ModelCheckpoint's save_top_k, or point dirpath at another disk.",
    )


def _unpicklable(state: Mapping[str, Any]) -> str | None:
    for key, value in state.items():
        try:
            torch.save(value, io.BytesIO())
        except Exception:  # noqa: BLE001 - whatever it raises, this entry is the culprit
            return str(key)
    return None


def _estimate_bytes(state: Any) -> int:
    """A lower bound that is close: the tensors' storages, each once, and their zip records."""
    storages: dict[int, int] = {}
    stack, seen = [state], set()
    while stack:
        value = stack.pop()
        if isinstance(value, torch.Tensor):
            storage = value.untyped_storage() if value.layout is torch.strided else None
            if storage is not None and value.device.type != "meta":
                storages[storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            stack.extend(value.values() if isinstance(value, Mapping) else value)
    return sum(storages.values()) + 256 * len(storages) + 4096


def read_checkpoint(path: Path | str | IO[bytes], map_location: Any = None, weights_only: bool | None = None) -> Any:
    """Read what :func:`write_checkpoint` or ``torch.save`` wrote, after verifying every checksum in it.

    Args:
        path: the file, or an open one that can seek.
        map_location: as for ``torch.load``.
        weights_only: as for ``torch.load``; None leaves torch's own default (safe types only, unless the environment
            says otherwise).

    Raises:
        CheckpointNotFoundError: there is no such file.
        CheckpointCorruptError: it is cut off, has flipped bits, or is no checkpoint.
        CheckpointError: it is intact but holds types that torch's safe loader refuses.
    """
    if isinstance(path, str | os.PathLike):
        path = Path(path)
        return _load(path, repr(str(path)), _verify(path), lambda: _advice(path), map_location, weights_only)
    start = path.tell()
    problem = _problem(path)
    path.seek(start)
    return _load(path, "The stream", problem, lambda: None, map_location, weights_only)


def _load(
    source: Any, name: str, problem: str | None, advice: Callable[[], str | None], map_location: Any, safe: bool | None
) -> Any:
    if problem is not None:
        raise CheckpointCorruptError(f"{name} {problem}", advice=advice())
    try:
        return torch.load(source, map_location=map_location, weights_only=safe)
    except pickle.UnpicklingError as error:
        # Without checksums (a bare pickle), only what names a type is a refusal; the rest is damage.
        if _is_bare_pickle(source) and "allowed global" not in str(error):
            raise CheckpointCorruptError(f"{name} can't be unpickled", advice=advice()) from error
        raise CheckpointError(
            f"{name} is intact, but torch's safe loader refuses types in it",
            advice=f"If you trust the file, load it with weights_only=False.\n{error}",
        ) from error
    except (EOFError, zipfile.BadZipFile) as error:
        raise CheckpointCorruptError(f"{name} can't be read ({error})", advice=advice()) from error
    except (RuntimeError, ValueError, IndexError, KeyError, AttributeError, struct.error) as error:
        if not _is_bare_pickle(source) and "PytorchStreamReader" not in str(error):
            raise  # the bytes are right: the cause is map_location, or a class that has changed since
        raise CheckpointCorruptError(f"{name} can't be read ({error})", advice=advice()) from error


def _is_bare_pickle(source: Path | IO[bytes]) -> bool:
    """Whether the file has torch's format before 1.6, a pickle without checksums."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(1) == _PICKLE
    source.seek(0)
    return source.read(1) == _PICKLE


def _verify(path: Path) -> str | None:
    """What is wrong with the file at ``path``, or None; raises CheckpointNotFoundError."""
    try:
        with path.open("rb") as file:
            return _problem(file)
    except FileNotFoundError:
        raise CheckpointNotFoundError("There is no such checkpoint", value=str(path), advice=_advice(path)) from None
    except IsADirectoryError:
        return "is a directory, not a checkpoint file"


def _problem(file: IO[bytes]) -> str | None:
    """What is wrong with an open file, or None."""
    start = file.read(4)
    if not start:
        return "is empty"
    if start[:1] == _PICKLE:  # torch's format before 1.6, without checksums
        return None
    if start[:2] != b"PK":
        return "is no checkpoint (it is not a file that torch.save wrote)"
    try:
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
            if broken is None and not any(name.endswith("/data.pkl") for name in archive.namelist()):
                return "is a zip file, but no checkpoint (it is not a file that torch.save wrote)"
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError, struct.error, zlib.error) as error:
        return f"is cut off or damaged ({error})"
    return None if broken is None else f"is damaged: the checksum of its record {broken!r} differs"


def _advice(path: Path) -> str | None:
    """Names the newest valid checkpoint beside (or inside) ``path``."""
    folder = path if path.is_dir() else path.parent
    for sibling in itertools.islice(_newest_first(folder), _SIBLINGS_TRIED):
        if sibling == path:
            continue
        with contextlib.suppress(CheckpointError, OSError):
            if _verify(sibling) is None:
                return f"The newest valid checkpoint there is {str(sibling)!r}."
    return None if folder.is_dir() else f"The folder {str(folder)!r} does not exist either."


def _newest_first(folder: Path) -> Iterator[Path]:
    found = []
    with contextlib.suppress(OSError):
        for file in folder.glob("*.ckpt"):
            with contextlib.suppress(OSError):
                if file.is_file():
                    found.append((file.stat().st_mtime_ns, file))
    return (file for _, file in sorted(found, reverse=True))
