"""Doing something on rank 0 only: a decorator, and notes and warnings that other ranks keep to themselves.

It must not know a trainer: the rank comes from the process group or from the environment.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from lit_studio.trainer.loggers.base import is_rank_zero

_T = TypeVar("_T")
_log = logging.getLogger("lit_studio")


def rank_zero_only(fn: Callable[..., _T], default: Any = None) -> Callable[..., Any]:
    """Decorate ``fn`` to run on rank 0 only; other ranks get ``default``."""

    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs) if is_rank_zero() else default

    return wrapped


def rank_zero_info(message: Any, *args: Any, stacklevel: int = 2, **kwargs: Any) -> None:
    """Log a note on rank 0."""
    if is_rank_zero():
        _log.info(message, *args, stacklevel=stacklevel, **kwargs)


def rank_zero_debug(message: Any, *args: Any, stacklevel: int = 2, **kwargs: Any) -> None:
    """Log a detail on rank 0."""
    if is_rank_zero():
        _log.debug(message, *args, stacklevel=stacklevel, **kwargs)


def rank_zero_warn(message: Any, stacklevel: int = 2, category: type[Warning] = UserWarning, **kwargs: Any) -> None:
    """Warn on rank 0."""
    if is_rank_zero():
        warnings.warn(str(message), category, stacklevel=stacklevel)


def rank_zero_deprecation(message: Any, stacklevel: int = 2, **kwargs: Any) -> None:
    """Warn of something deprecated on rank 0."""
    rank_zero_warn(message, stacklevel=stacklevel + 1, category=DeprecationWarning)
