"""Which points of a series fall into a window of an axis, without placing all of them.

It must not know files or packets.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Literal

import numpy as np

from lit_studio.tracking.series import Indices, Series
from lit_studio.tracking.timeline import EpochScale, Timeline


def points_inside(
    series: Series, timeline: Timeline, axis: str, scale: EpochScale, window: tuple[float, float]
) -> range | Indices:
    """Points with ``x0 ≤ x ≤ x1``.

    Returns:
        A range of indices where the series runs along the axis in one direction, then with one more point on
        either side, so that a line reaches the window's edges. Otherwise (a run that went back to an earlier
        step) the indices inside, ascending.
    """
    if series.total == 0:
        return range(0)
    x0, x1 = window
    if not timeline.is_sorted(series, axis):
        everything = np.arange(series.total, dtype=np.int64)
        x = timeline.place(series, everything, axis, scale)
        return everything[(x >= x0) & (x <= x1)]

    starts = series.starts.array

    def chunk_of(chunk: int) -> Indices:
        end = starts[chunk + 1] if chunk + 1 < len(starts) else series.total
        return np.arange(starts[chunk], end, dtype=np.int64)

    def end_of(chunk: int) -> float:
        return float(timeline.place(series, chunk_of(chunk)[-1:], axis, scale)[0])

    def below(chunk: int, x: float, side: Literal["left", "right"]) -> int:
        if chunk == len(starts):
            return series.total
        inside = timeline.place(series, chunk_of(chunk), axis, scale)
        return int(starts[chunk]) + int(np.searchsorted(inside, x, side))

    chunks = range(len(starts))
    begin = below(bisect_left(chunks, x0, key=end_of), x0, "left")
    end = below(bisect_right(chunks, x1, key=end_of), x1, "right")
    return range(max(0, begin - 1), min(series.total, end + 1))
