"""Line charts on a :class:`~lit_studio.widgets.canvas.Canvas`: axes with round numbers, curves, a legend.

It must not know of runs or where the numbers come from. Each pixel column shows the smallest and the largest value
that fall into it, so a spike of one step among a million is seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lit_studio.widgets.canvas import Canvas

Floats = NDArray[np.float64]

PAPER_INKS = ("24292f", "57606a", "8c959f", "d0d7de", "cf222e")
TEXT, QUIET, FAINT, RULE, ALARM = range(len(PAPER_INKS))
# Told apart with any kind of colour vision, and dark enough on white.
CURVE_INKS = ("0b62a8", "c65102", "00795b", "a33b8a", "7a6300", "4b5cc4")
INKS = (*PAPER_INKS, *CURVE_INKS)
DASHES: tuple[tuple[float, ...], ...] = ((), (7, 4), (2, 3), (9, 3, 2, 3), (14, 4), (4, 2))
LINE = 1.6
LEGEND_ROW = 17
MARKED = 40
"""Up to so many points of a curve are marked by dots."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One series: its name, points with increasing ``x`` (f64[n]), and two words for the legend."""

    name: str
    x: Floats
    y: Floats
    last: str = ""
    best: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: a few curves on common axes."""

    title: str
    curves: tuple[Curve, ...]

    def legend_height(self) -> int:
        """Logical pixels above the plot."""
        return 8 + LEGEND_ROW * len(self.curves)


def ticks(low: float, high: float, about: int) -> tuple[list[float], float]:
    """Round numbers between ``low`` and ``high``, roughly ``about`` of them, and their distance."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low], 1.0
    raw = span / max(1, about)
    size = 10.0 ** math.floor(math.log10(raw))
    step = next((size * m for m in (1, 2, 2.5, 5) if size * m >= raw * 0.999), size * 10)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)], step


def tick_label(value: float, step: float) -> str:
    """``value`` with the decimals that ``step`` calls for; large steps as ``12k``, very small steps as ``2e-4``."""
    if abs(value) < step * 1e-6:
        return "0"
    if step < 1e-4 or abs(value) >= 1e9:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    for size, letter, from_step in ((1e6, "M", 1e5), (1e3, "k", 1e3)):
        if step >= from_step:
            return f"{value / size:.{_decimals(step / size)}f}{letter}"
    return f"{value:,.{_decimals(step)}f}"


def _decimals(step: float) -> int:
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return places + (abs(step * 10**places - round(step * 10**places)) > 1e-6)


def draw_panel(
    canvas: Canvas, box: tuple[float, float, float, float], panel: Panel, x_range: tuple[float, float]
) -> None:
    """Draw ``panel`` into ``box`` (left, top, width, height in logical pixels) over the common ``x_range``."""
    left, top, width, height = box
    low, high = _value_range(panel.curves)
    marks, step = ticks(low, high, max(2, round((height - panel.legend_height()) / 34)))
    labels = [tick_label(mark, step) for mark in marks]
    gutter = max((canvas.measure(label, 0.9) for label in labels), default=0) + 7
    plot_top, bottom = top + panel.legend_height(), top + height - 19
    plot = (left + gutter, plot_top, width - gutter, bottom - plot_top)
    _legend(canvas, plot[0], top, plot[2], panel)
    for mark, label in zip(marks, labels, strict=True):
        y = bottom - (mark - low) / (high - low) * plot[3]
        canvas.dots(plot[0], y, plot[2], RULE)
        canvas.text(plot[0] - 7, y - 4.5, label, QUIET, size=0.9, weight=1.0, align="right")
    canvas.fill(plot[0], bottom, plot[2], 1, FAINT)
    _x_axis(canvas, plot, bottom, x_range)
    for number, curve in enumerate(panel.curves):
        _curve(canvas, plot, curve, number, x_range, (low, high))


def _value_range(curves: Sequence[Curve]) -> tuple[float, float]:
    finite = np.concatenate([curve.y[np.isfinite(curve.y)] for curve in curves])
    if not len(finite):
        return 0.0, 1.0
    # In halves, so that the largest doubles don't overflow.
    low, high = float(finite.min()), float(finite.max())
    pad = (high / 2 - low / 2) * 0.1 or abs(low) * 0.1 or 0.5
    return low - pad, high + pad


def _x_axis(
    canvas: Canvas, plot: tuple[float, float, float, float], bottom: float, x_range: tuple[float, float]
) -> None:
    left, _, width, _ = plot
    word = canvas.measure("step", 0.9)
    canvas.text(left + width, bottom + 7, "step", FAINT, size=0.9, weight=1.0, align="right")
    marks, step = ticks(*x_range, max(2, round(width / 90)))
    for mark in marks:
        if mark != round(mark):
            continue
        label, x = tick_label(mark, max(step, 1.0)), left + (mark - x_range[0]) / (x_range[1] - x_range[0]) * width
        half = canvas.measure(label, 0.9) / 2
        canvas.fill(x, bottom, 1, 4, FAINT)
        if x + half < left + width - word - 8:
            at = max(x, left + half)
            canvas.text(at, bottom + 7, label, QUIET, size=0.9, weight=1.0, align="center")


def _legend(canvas: Canvas, left: float, top: float, width: float, panel: Panel) -> None:
    for number, curve in enumerate(panel.curves):
        y, ink = top + number * LEGEND_ROW, len(PAPER_INKS) + number % len(CURVE_INKS)
        swatch = np.array([left, left + 22.0]) * canvas.scale
        _line(canvas, swatch, np.full(2, (y + 5) * canvas.scale), ink, DASHES[number % len(DASHES)])
        right = left + width
        if curve.best and width > 300:
            right -= canvas.text(right, y, curve.best, QUIET, size=0.95, weight=1.0, align="right") + 12
        right -= canvas.text(right, y, curve.last, TEXT, weight=1.6, align="right") + 12
        name = curve.name
        while len(name) > 4 and canvas.measure(name) > right - left - 30:
            name = name[:-2].rstrip("…") + "…"
        canvas.text(left + 29, y, name, TEXT)


def _curve(
    canvas: Canvas,
    plot: tuple[float, float, float, float],
    curve: Curve,
    number: int,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> None:
    left, top, width, height = (side * canvas.scale for side in plot)
    ink = len(PAPER_INKS) + number % len(CURVE_INKS)
    x = left + (curve.x - x_range[0]) / (x_range[1] - x_range[0]) * width
    finite = np.isfinite(curve.y)
    for column in np.unique(np.rint(x[~finite])):
        canvas.fill(column / canvas.scale - 1, top / canvas.scale, 2, 6, ALARM)
    y = top + height - (curve.y - y_range[0]) / (y_range[1] - y_range[0]) * height
    # A line is broken where values are missing, as long as the pieces can be told apart.
    breaks = np.flatnonzero(np.diff(np.flatnonzero(finite)) > 1) + 1
    pieces = np.split(np.flatnonzero(finite), breaks if len(breaks) <= width / 4 else [])
    for piece in pieces:
        if len(piece):
            _piece(canvas, x[piece], y[piece], ink, DASHES[number % len(DASHES)])
    if int(finite.sum()) <= MARKED:
        for px, py in zip(x[finite].tolist(), y[finite].tolist(), strict=True):
            canvas.disc(px / canvas.scale, py / canvas.scale, 2.2, ink)


def _piece(canvas: Canvas, x: Floats, y: Floats, ink: int, dash: tuple[float, ...]) -> None:
    columns = np.floor(x).astype(np.int64)
    starts = np.flatnonzero(np.r_[True, np.diff(columns) > 0])
    counts = np.diff(np.r_[starts, len(x)])
    if len(x) > 2 * len(starts):  # dense: a tinted band from the smallest to the largest, and the mean as the line
        low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
        _band(canvas, columns[starts], low, high, ink)
        dash = ()
    _line(canvas, np.add.reduceat(x, starts) / counts, np.add.reduceat(y, starts) / counts, ink, dash)


def _band(canvas: Canvas, columns: NDArray[np.int64], low: Floats, high: Floats, ink: int) -> None:
    grid = np.arange(columns[0], columns[-1] + 1)
    low, high = np.interp(grid, columns, low), np.interp(grid, columns, high)
    _spans(canvas, int(grid[0]), low - 0.5, high + 0.5, ink, np.full(len(grid), 0.34))


def _line(canvas: Canvas, x: Floats, y: Floats, ink: int, dash: tuple[float, ...]) -> None:
    """The chain of points (real pixels) drawn with a round pen."""
    if len(x) < 2:
        return
    radius = LINE * canvas.scale / 2
    offsets = np.linspace(-radius, radius, 7)
    reach = np.sqrt(np.maximum(0, radius**2 - offsets**2))
    grid = np.arange(math.floor(x[0] - radius), math.ceil(x[-1] + radius) + 1)
    # What the pen covers in a column comes from the curve at all columns within its radius.
    under = np.interp(grid[:, None] + 0.5 + offsets, x, y, left=np.nan, right=np.nan)
    low, high = np.fmin.reduce(under - reach, axis=1), np.fmax.reduce(under + reach, axis=1)
    seen = np.isfinite(low)
    grid, low, high = grid[seen], low[seen], high[seen]
    middle = np.interp(grid + 0.5, x, y)
    strength = np.ones(len(grid))
    if dash:
        along = np.r_[0.0, np.cumsum(np.hypot(1, np.diff(middle)))] / canvas.scale % sum(dash)
        edges = np.cumsum(dash)
        strength = (np.searchsorted(edges, along, side="right") % 2 == 0).astype(float)
    _spans(canvas, int(grid[0]), low, high, ink, strength)


def _spans(canvas: Canvas, column: int, low: Floats, high: Floats, ink: int, strength: Floats) -> None:
    first, last = math.floor(low.min()), math.ceil(high.max())
    rows = np.arange(first, last + 1)[:, None]
    coverage = np.clip(np.minimum(high, rows + 1) - np.maximum(low, rows), 0, 1) * strength
    canvas.cover(column, first, coverage, ink)
