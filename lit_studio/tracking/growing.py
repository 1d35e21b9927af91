"""A one-dimensional array that grows at its end at amortised constant cost.

It must not know what its numbers mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class GrowingArray:
    """Numbers of one dtype; room is doubled when it runs out."""

    def __init__(self, dtype: DTypeLike):
        self._room: NDArray[Any] = np.empty(64, dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def array(self) -> NDArray[Any]:
        """What has been appended so far, as a view; later growth doesn't change it."""
        return self._room[: self._size]

    @property
    def nbytes(self) -> int:
        """Bytes held, spare room included."""
        return self._room.nbytes

    def extend(self, values: NDArray[Any]) -> None:
        """Append ``values`` (one-dimensional)."""
        size = self._size + len(values)
        if size > len(self._room):
            room = np.empty(max(size, 2 * len(self._room)), self._room.dtype)
            room[: self._size] = self.array
            self._room = room
        self._room[self._size : size] = values
        self._size = size

    def truncate(self, size: int) -> None:
        """Forget what lies behind the first ``size`` numbers; views that were handed out keep what they show."""
        if size < self._size:
            # Into new room: later growth would write into what a view still shows.
            self._room, self._size = self._room[: max(64, size)].copy(), size

    def is_sorted_from(self, index: int) -> bool:
        """Whether nothing from ``index`` on is smaller than what stands before it."""
        tail = self.array[max(0, index - 1) :]
        return bool(np.all(tail[1:] >= tail[:-1]))
