"""Which points of a series fall into a window of an axis, without placing all of them.

It must not know files or packets.
"""

from __future__ import annotations

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
    starts = series.starts.array
    first = timeline.place(series, starts, axis, scale)
    last = timeline.place(series, np.append(starts[1:], series.total) - 1, axis, scale)
    if np.any(first[1:] < last[:-1]):
        everything = np.arange(series.total, dtype=np.int64)
        x = timeline.place(series, everything, axis, scale)
        return everything[(x >= x0) & (x <= x1)]
    # Only the two chunks at the window's edges need be placed point by point.
    begin = _count_below(series, timeline, axis, scale, int(np.searchsorted(last, x0, "left")), x0, "left")
    end = _count_below(series, timeline, axis, scale, int(np.searchsorted(last, x1, "right")), x1, "right")
    return range(max(0, begin - 1), min(series.total, end + 1))


def _count_below(
    series: Series, timeline: Timeline, axis: str, scale: EpochScale, chunk: int, x: float, side: str
) -> int:
    starts = series.starts.array
    if chunk == len(starts):
        return series.total
    begin = int(starts[chunk])
    end = int(starts[chunk + 1]) if chunk + 1 < len(starts) else series.total
    inside = timeline.place(series, np.arange(begin, end, dtype=np.int64), axis, scale)
    return begin + int(np.count_nonzero(inside < x if side == "left" else inside <= x))
