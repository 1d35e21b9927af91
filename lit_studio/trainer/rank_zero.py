"""Doing something on rank 0 only: a decorator, and notes and warnings that other ranks keep to themselves.

It must not know a trainer: the rank comes from the process group or from the environment.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from lit_studio.loggers.base import current_rank

_T = TypeVar("_T")
_log = logging.getLogger("lit_studio")


class LightningDeprecationWarning(DeprecationWarning):
    """Something that will go."""


class _RankZeroOnly:
    """The decorator; :attr:`rank` is this process's rank, unless somebody has set another."""

    def __init__(self) -> None:
        self._rank: int | None = None

    @property
    def rank(self) -> int:
        """This process among all."""
        return current_rank() if self._rank is None else self._rank

    @rank.setter
    def rank(self, value: int | None) -> None:
        self._rank = value

    def __call__(self, fn: Callable[..., _T], default: Any = None) -> Callable[..., Any]:
        """Decorate ``fn`` to run on rank 0 only; other ranks get ``default``."""

        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return fn(*args, **kwargs) if self.rank == 0 else default

        return wrapped


rank_zero_only = _RankZeroOnly()


def rank_prefixed_message(message: str, rank: int | None) -> str:
    """``message`` behind its rank, if there is one."""
    return message if rank is None else f"[rank: {rank}] {message}"


def rank_zero_info(message: Any, *args: Any, stacklevel: int = 2, **kwargs: Any) -> None:
    """Log a note on rank 0."""
    if rank_zero_only.rank == 0:
        _log.info(message, *args, stacklevel=stacklevel, **kwargs)


def rank_zero_debug(message: Any, *args: Any, stacklevel: int = 2, **kwargs: Any) -> None:
    """Log a detail on rank 0."""
    if rank_zero_only.rank == 0:
        _log.debug(message, *args, stacklevel=stacklevel, **kwargs)


def rank_zero_warn(message: Any, stacklevel: int = 2, category: type[Warning] = UserWarning, **kwargs: Any) -> None:
    """Warn on rank 0."""
    if rank_zero_only.rank == 0:
        warnings.warn(str(message), category, stacklevel=stacklevel)


def rank_zero_deprecation(message: Any, stacklevel: int = 2, **kwargs: Any) -> None:
    """Warn of something deprecated on rank 0."""
    rank_zero_warn(
        message, stacklevel=stacklevel + 1, category=kwargs.pop("category", LightningDeprecationWarning), **kwargs
    )
