"""Which file system a path lies on, and whether all ranks see the same one.

It must not know what is read or written there.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_studio.base.errors import InvalidValueError

if TYPE_CHECKING:
    from lit_studio.trainer.strategies import Strategy

_LOOK_EVERY = 0.1


def get_filesystem(path: str | Path, **kwargs: Any) -> Any:
    """The fsspec file system that ``path`` names by its protocol; the local one without a protocol.

    Args:
        path: for instance ``"s3://bucket/folder"``.
        kwargs: for the file system.
    """
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # comes with torch

    system, _ = url_to_fs(str(path), **kwargs)
    return system


def is_shared_filesystem(strategy: Strategy, path: str | Path | None = None, timeout: int = 3) -> bool:
    """Whether ``path`` lies on a file system that all ranks see; all of them must call this.

    Args:
        strategy: the trainer's or Fabric's.
        path: an existing place where one may write; the working directory by default.
        timeout: seconds within which the ranks must see what rank 0 writes.

    Raises:
        InvalidValueError: ``path`` doesn't exist on some rank.
    """
    if (path is not None and "://" in str(path)) or getattr(strategy, "world_size", 1) == 1:
        return True
    place = Path.cwd() if path is None else Path(path).resolve()
    if not strategy.reduce_boolean_decision(strategy.broadcast(str(place)) == str(place)):
        return False
    if not strategy.reduce_boolean_decision(place.exists()):
        raise InvalidValueError("Unable to determine if the path belongs to a shared filesystem", value=str(place))
    mark = (place.parent if place.is_file() else place) / ".lit_studio_shared_filesystem"
    strategy.barrier()
    if strategy.is_global_zero:
        mark.touch()
    until = time.monotonic() + timeout
    while not mark.exists() and time.monotonic() < until:
        time.sleep(_LOOK_EVERY)
    found = strategy.reduce_boolean_decision(mark.exists())
    if strategy.is_global_zero:
        mark.unlink(missing_ok=True)
    return found
