"""The picture of a learning-rate range test: loss over rate, for matplotlib and for a notebook's cell.

It must not know how the losses came about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lit_studio.base.errors import MissingDependencyError

WIDTH, HEIGHT, MARGIN = 480, 260, 44


def plot_curve(
    rates: Sequence[float], losses: Sequence[float], marked: int | None, logarithmic: bool, show: bool, ax: Any
) -> Any:
    """Draw with matplotlib; returns the figure.

    Args:
        rates: the learning rates.
        losses: the loss at each.
        marked: the index of a point to mark in red.
        logarithmic: whether the rates' axis is.
        show: whether to call ``pyplot.show()``.
        ax: axes to draw into; None makes a figure.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise MissingDependencyError("matplotlib", extra="plot", purpose="Plotting a range test") from error
    figure, axes = (ax.figure, ax) if ax is not None else pyplot.subplots()
    axes.plot(rates, losses)
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlabel("Learning rate")
    axes.set_ylabel("Loss")
    if marked is not None:
        axes.plot(rates[marked], losses[marked], marker="o", markersize=10, color="red")
    if show:
        pyplot.show()
    return figure


def curve_html(rates: Sequence[float], losses: Sequence[float], marked: int | None, logarithmic: bool) -> str:
    """The curve as an SVG picture for a cell, in the colours of the page around it; needs no package.

    Args:
        rates: the learning rates.
        losses: the loss at each; those that are not finite are left out.
        marked: the index of a point to mark, its rate in words below.
        logarithmic: whether the rates' axis is.
    """
    points = [(rate, loss) for rate, loss in zip(rates, losses, strict=True) if math.isfinite(loss)]
    if len(points) < 2:
        return "<p>Learning-rate range test: too few losses for a curve.</p>"
    along = math.log10 if logarithmic else float
    left, right = along(points[0][0]), along(points[-1][0])
    # A loss that ran away at the end would flatten all that matters.
    usual = sorted(loss for _, loss in points)[: max(2, round(0.95 * len(points)))]
    low, high = usual[0], usual[-1]
    high = max(high + 0.05 * (high - low), low + 1e-12)

    def place(rate: float, loss: float) -> tuple[float, float]:
        x = MARGIN + (WIDTH - 2 * MARGIN) * (along(rate) - left) / (right - left)
        share = min(1.0, max(0.0, (loss - low) / (high - low)))
        return round(x, 1), round(HEIGHT - MARGIN - (HEIGHT - 1.5 * MARGIN) * share, 1)

    line = " ".join(f"{x},{y}" for x, y in (place(*point) for point in points))
    mark = words = ""
    if marked is not None:
        x, y = place(rates[marked], losses[marked])
        mark = f'<circle cx="{x}" cy="{y}" r="5" fill="#d62728"/>'
        words = f" Suggestion: <b>{rates[marked]:.3g}</b>"
    return (
        f'<figure style="margin:0"><svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        f'aria-label="loss over learning rate" font-size="11" fill="currentColor">'
        f'<path d="M{MARGIN} {MARGIN / 2}V{HEIGHT - MARGIN}H{WIDTH - MARGIN}" fill="none" stroke="currentColor" '
        f'opacity=".5"/><polyline points="{line}" fill="none" stroke="#1f77b4" stroke-width="2"/>{mark}'
        f'<text x="{MARGIN}" y="{HEIGHT - MARGIN + 16}">{points[0][0]:.1e}</text>'
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - MARGIN + 16}" text-anchor="end">{points[-1][0]:.1e}</text>'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">learning rate</text>'
        f'<text x="{MARGIN - 4}" y="{HEIGHT - MARGIN}" text-anchor="end">{low:.3g}</text>'
        f'<text x="{MARGIN - 4}" y="{MARGIN / 2 + 10}" text-anchor="end">{high:.3g}</text></svg>'
        f"<figcaption>{len(points)} steps.{words}</figcaption></figure>"
    )
