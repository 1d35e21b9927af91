"""Kinds of warnings that can be silenced by themselves, and saying a thing once only.

It must not know what is warned of.
"""

from __future__ import annotations

import warnings
from typing import Any

from lit_studio.trainer.rank_zero import rank_zero_deprecation, rank_zero_info, rank_zero_warn


class PossibleUserWarning(UserWarning):
    """A warning that may be mistaken."""


def disable_possible_user_warnings(module: str = "") -> None:
    """Silence every :class:`PossibleUserWarning`.

    Args:
        module: only those that come from modules whose names match this expression.
    """
    warnings.filterwarnings("ignore", module=module, category=PossibleUserWarning)


class WarningCache(set[str]):
    """The messages that were said already; each is said once, on rank 0."""

    def warn(self, message: str, stacklevel: int = 3, **kwargs: Any) -> None:
        """Warn, unless it was said."""
        if self._is_new(message):
            rank_zero_warn(message, stacklevel=stacklevel + 1, **kwargs)

    def deprecation(self, message: str, stacklevel: int = 3, **kwargs: Any) -> None:
        """Warn of something deprecated, unless it was said."""
        if self._is_new(message):
            rank_zero_deprecation(message, stacklevel=stacklevel + 1, **kwargs)

    def info(self, message: str, stacklevel: int = 3, **kwargs: Any) -> None:
        """Log a note, unless it was said."""
        if self._is_new(message):
            rank_zero_info(message, stacklevel=stacklevel, **kwargs)

    def _is_new(self, message: str) -> bool:
        known = message in self
        self.add(message)
        return not known
