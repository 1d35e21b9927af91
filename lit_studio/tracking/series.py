"""One series in memory: its points, and its minima and maxima at any resolution, kept as it grows.

It must not know files, axes or packets. A series of ``total`` points is cut into buckets of ``stride`` points, a
power of two. To show a bucket takes its smallest and largest finite value, so a spike is never lost. Every
:data:`BASE` points the two are noted once and for all; coarser buckets are put together from these notes, so that
showing a million points looks at a few thousand numbers, and showing what is new at a handful.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_studio.tracking.growing import GrowingArray

BASE = 64
MARKS = 50

Indices = NDArray[np.int64]


class Series:
    """Points of one metric in the order of logging.

    Attributes:
        id, name, prog_bar: as the run's record defines them.
        steps: optimizer step of each point.
        values: value of each point, NaN and infinities included.
        starts: index of the first point of each chunk (what one flush brought).
        blocks: for each chunk the number of the block that brought it.
        is_sorted: whether the steps never go back.
        cuts: how often the end of the series was cut off, see :meth:`cut`.
        marks: indices at which a stretch of equal non-finite values (nan, inf or −inf) begins, at most
            :data:`MARKS`, the earliest.
    """

    def __init__(self, series_id: int, name: str, prog_bar: bool):
        self.id, self.name, self.prog_bar = series_id, name, prog_bar
        self.steps, self.values = GrowingArray(np.int64), GrowingArray(np.float64)
        self.starts, self.blocks = GrowingArray(np.int64), GrowingArray(np.int64)
        self._low, self._high = GrowingArray(np.int64), GrowingArray(np.int64)
        self.is_sorted = True
        self.cuts = 0
        self.marks: list[int] = []
        self._extremes: tuple[int, int] | None = None

    @property
    def total(self) -> int:
        """Number of points."""
        return len(self.values)

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        parts = (self.steps, self.values, self.starts, self.blocks, self._low, self._high)
        return sum(part.nbytes for part in parts)

    @property
    def extremes(self) -> tuple[int, int] | None:
        """Indices of the first smallest and the first largest finite value, None if no value is finite."""
        return self._extremes

    def extend(self, steps: Indices, values: NDArray[np.float64], counts: Indices, blocks: Indices) -> None:
        """Append points that came in chunks.

        Args:
            steps: i64 of n points.
            values: f64 of n points.
            counts: i64, points of each chunk, summing to n, none 0.
            blocks: i64, the block of each chunk.
        """
        before = self.total
        self.steps.extend(steps)
        self.is_sorted &= self.steps.is_sorted_from(before)
        self.values.extend(values)
        self.starts.extend(before + np.cumsum(counts) - counts)
        self.blocks.extend(blocks)
        self._note_marks(before)
        self._note_base()
        self._note_extremes(before)

    def _note_marks(self, before: int) -> None:
        if len(self.marks) < MARKS:
            self.marks += stretches(self.values.array, before, self.total)[: MARKS - len(self.marks)].tolist()

    def _note_base(self) -> None:
        first, stop = len(self._low), self.total // BASE
        if stop > first:
            low, high, _ = _extremes_of(self.values.array[first * BASE : stop * BASE].reshape(-1, BASE))
            rows = np.arange(first, stop, dtype=np.int64) * BASE
            self._low.extend(rows + low)
            self._high.extend(rows + high)

    def _note_extremes(self, before: int) -> None:
        values = self.values.array
        low, high, finite = _extremes_of(values[before:].reshape(1, -1))
        if not finite[0]:
            return
        new = before + int(low[0]), before + int(high[0])
        if (old := self._extremes) is not None:
            new = (
                new[0] if values[new[0]] < values[old[0]] else old[0],
                new[1] if values[new[1]] > values[old[1]] else old[1],
            )
        self._extremes = new

    def cut(self, step: int) -> Series | None:
        """Take off everything from the first point at ``step`` or later on: a run went back to there.

        Returns:
            What was taken off as a series of its own, beginning with the last point that stays, so that its line
            forks off; None if there was nothing.
        """
        behind = self.steps.array >= step
        if not behind.any():
            return None
        first = int(behind.argmax())
        branch = self._from(max(0, first - 1))
        chunks = int(np.searchsorted(self.starts.array, first))
        for array, size in (
            (self.steps, first), (self.values, first), (self.starts, chunks), (self.blocks, chunks),
            (self._low, first // BASE), (self._high, first // BASE),
        ):  # fmt: skip
            array.truncate(size)
        self.is_sorted = self.steps.is_sorted_from(0)
        self.marks = [index for index in self.marks if index < first]
        self._extremes = None
        if first:
            self._note_extremes(0)
        self.cuts += 1
        return branch

    def _from(self, begin: int) -> Series:
        starts, total = self.starts.array, self.total
        chunk = int(np.searchsorted(starts, begin, side="right")) - 1
        counts = np.diff(np.concatenate(([begin], starts[chunk + 1 :], [total])))
        branch = Series(self.id, self.name, self.prog_bar)
        branch.extend(self.steps.array[begin:], self.values.array[begin:], counts, self.blocks.array[chunk:])
        return branch

    def show(self, stride: int, first: int, stop: int) -> tuple[Indices, NDArray[np.float64]]:
        """What to draw for the buckets ``first`` to ``stop`` − 1 of ``stride`` points each.

        Returns:
            ``(indices, values)``. With stride 1: each point. Otherwise two for each bucket: its smallest and its
            largest finite value in the order in which they occurred; a bucket without any: its first and last
            index, with NaN. The last bucket may be cut off by the end of the series.
        """
        values = self.values.array
        low, high = first * stride, min(stop * stride, self.total)
        if stride == 1 or high <= low:
            return np.arange(low, max(low, high), dtype=np.int64), values[low:high]
        if stride < BASE:
            lows = highs = np.arange(low, high, dtype=np.int64)
            width = stride
        else:
            lows, highs = self._base_of(low // BASE, high)
            width = stride // BASE
        return pairs_of(values, lows, highs, width)

    def _base_of(self, first: int, high: int) -> tuple[Indices, Indices]:
        lows, highs = self._low.array[first : high // BASE], self._high.array[first : high // BASE]
        tail = high // BASE * BASE
        if tail == high:
            return lows, highs
        low, top, _ = _extremes_of(self.values.array[tail:high].reshape(1, -1))
        return np.append(lows, tail + low), np.append(highs, tail + top)


def stride_for(points: int, width: int) -> int:
    """The smallest power of two that cuts ``points`` into at most ``width`` buckets."""
    return 1 << max(0, -(-points // width) - 1).bit_length()


def stretches(values: NDArray[np.float64], start: int, stop: int) -> Indices:
    """Indices in ``[start, stop)`` at which a stretch of one kind of non-finite value (nan, inf, −inf) begins."""
    odd = start + np.flatnonzero(~np.isfinite(values[start:stop]))
    here, previous = values[odd], values[odd - 1]  # at index 0 that is the last value: put right below
    goes_on = (here == previous) | (np.isnan(here) & np.isnan(previous))
    return odd[~goes_on | (odd == 0)]


def pairs_of(
    values: NDArray[np.float64], lows: Indices, highs: Indices, width: int
) -> tuple[Indices, NDArray[np.float64]]:
    """Two points for each group of ``width`` candidates; see :meth:`Series.show`.

    Args:
        values: f64, the whole series.
        lows: i64, candidates for the smallest value, as indices into ``values``.
        highs: i64, as many candidates for the largest.
        width: candidates in a group; the last group may be smaller.
    """
    rows = np.arange(-(-len(lows) // width))
    low_rows, high_rows = _rows(lows, width), _rows(highs, width)
    low_at, _, finite = _extremes_of(values[low_rows])
    _, high_at, _ = _extremes_of(values[high_rows])
    low, high = low_rows[rows, low_at], high_rows[rows, high_at]
    first = np.where(finite, np.minimum(low, high), np.minimum(low_rows[:, 0], high_rows[:, 0]))
    second = np.where(finite, np.maximum(low, high), np.maximum(low_rows[:, -1], high_rows[:, -1]))
    indices = np.stack((first, second), axis=1).ravel()
    shown = values[indices]
    shown[~np.repeat(finite, 2)] = np.nan
    return indices, shown


def _rows(indices: Indices, width: int) -> Indices:
    missing = -len(indices) % width
    # Repeating the last candidate fills the last group without changing its smallest or largest.
    return np.concatenate((indices, np.repeat(indices[-1:], missing))).reshape(-1, width)


def _extremes_of(rows: NDArray[Any]) -> tuple[Indices, Indices, NDArray[np.bool_]]:
    """For each row the position of its smallest and largest finite value, and whether there is a finite one.

    A row without one gives its first and its last position.
    """
    finite = np.isfinite(rows)
    if finite.all():
        return rows.argmin(axis=1), rows.argmax(axis=1), np.ones(len(rows), bool)
    low = np.where(finite, rows, np.inf).argmin(axis=1)
    high = np.where(finite, rows, -np.inf).argmax(axis=1)
    some = finite.any(axis=1)
    return low, np.where(some, high, rows.shape[1] - 1), some
