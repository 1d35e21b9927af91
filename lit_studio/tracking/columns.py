"""A stretch of a series for a chart of so many pixel columns: exactly what each column shows.

It must not know files, axes or packets. Buckets of a series' own grid straddle the columns of a chart, which is
within a pixel of the truth and can be told piece by piece; for a picture that stands still the columns are looked at
one by one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lit_studio.tracking.series import Indices

Floats = NDArray[np.float64]


def column_extremes(x: Floats, y: Floats, window: tuple[float, float], width: int) -> Indices:
    """For each column the point with its smallest and the one with its largest finite value.

    Args:
        x: f64 of n places, not decreasing.
        y: f64 of n values.
        window: ``(x0, x1)``; column c holds the points with ``floor((x - x0) * (width / (x1 - x0))) == c``, the
            last one also those at ``x1``.
        width: number of columns.

    Returns:
        Indices into x and y, ascending. A column without a finite value gives its first and last point; points
        outside of the window are kept as they are.
    """
    x0, x1 = window
    columns = np.clip(np.floor((x - x0) * (width / (x1 - x0))), -1, width).astype(np.int64)
    columns[(columns == width) & (x <= x1)] = width - 1
    inside = np.flatnonzero((columns >= 0) & (columns < width))
    if not len(inside):
        return np.arange(len(x), dtype=np.int64)
    first, stop = int(inside[0]), int(inside[-1]) + 1
    edges = first + np.flatnonzero(np.diff(columns[first:stop], prepend=-1))
    low, high = _first_at(y, edges, stop, np.minimum, np.inf), _first_at(y, edges, stop, np.maximum, -np.inf)
    ends = np.append(edges[1:], stop) - 1
    empty = low < 0
    low, high = np.where(empty, edges, low), np.where(empty, ends, high)
    outside = np.concatenate((np.arange(first), np.arange(stop, len(x))))
    return np.unique(np.concatenate((low, high, outside))).astype(np.int64)


def _first_at(y: Floats, edges: Indices, stop: int, ufunc: np.ufunc, worst: float) -> Indices:
    """Index of the first point that has the extreme value of its column, −1 where no value is finite."""
    part = y[edges[0] : stop]
    comparable = np.where(np.isfinite(part), part, worst)
    starts = edges - edges[0]
    extreme = ufunc.reduceat(comparable, starts)
    counts = np.diff(np.append(starts, len(part)))
    hits = (comparable == np.repeat(extreme, counts)) & np.isfinite(part)
    indices = np.where(hits, np.arange(edges[0], stop), stop)
    found = np.minimum.reduceat(indices, starts)
    return np.where(found < stop, found, -1)
