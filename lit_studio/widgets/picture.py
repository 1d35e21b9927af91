"""The picture that stays in the notebook when a run has ended: a card with its curves or its numbers, as PNG.

It must not know Jupyter: it reads a run from disk and returns bytes. White paper with a border, so that it can be
read on light and dark pages alike.
"""

from __future__ import annotations

import re
import struct

import numpy as np

from lit_studio.base.runs import RunDirectory, RunStatus
from lit_studio.base.runs.status import finite_or_text
from lit_studio.studio import words
from lit_studio.tracking import RunReader
from lit_studio.widgets.canvas import Canvas
from lit_studio.widgets.charts import ALARM, FAINT, INKS, QUIET, RULE, TEXT, Curve, Panel, draw_panel

WIDE, NARROW, PAD, GAP = 880, 560, 16, 22
PLOT = 148
MOST_PANELS, MOST_CURVES, MOST_ROWS = 8, 4, 12
# An output is to stay light enough for a notebook under version control: 50 kB with base64 and the rest.
LIGHT = 32_000
_QUALITIES = ((2, 7), (1, 7), (1, 3), (1, 1))  # real pixels in a logical one, levels of coverage
_SIDE = "train|training|val|valid|validation|test|eval"
_STATES = {"finished": 7, "stopped": 6, "interrupted": 6, "failed": ALARM, "lost": ALARM}
_RUNNING = 5


def family(name: str) -> str:
    """What ``train_loss``, ``val/loss`` and ``loss_epoch`` have in common: the chart that they share."""
    stem = re.sub(r"/dataloader_idx_\d+$", "", name)
    stem = re.sub(r"_(step|epoch)$", "", stem)
    bare = re.sub(rf"^({_SIDE})[_/.-]|[_/.-]({_SIDE})$", "", stem, flags=re.IGNORECASE)
    return bare or stem


def panels(reader: RunReader) -> list[Panel]:
    """The run's charts: losses first, then other goals, then the rest; series of one point have none."""
    families: dict[str, list[Curve]] = {}
    for name in reader.names():
        if name == "epoch":
            continue
        steps, values = reader.values(name)
        if len(values):
            families.setdefault(family(name), []).append(_curve(name, steps.astype(np.float64), values))
    found = []
    for title, curves in families.items():
        if any(len(curve.x) > 1 for curve in curves):
            found.append(Panel(title, tuple(sorted(curves, key=_side)[:MOST_CURVES])))

    def rank(panel: Panel) -> int:
        return 0 if "loss" in panel.title.lower() else 1 if words.goal(panel.title) else 2

    return sorted(found, key=rank)


def _side(curve: Curve) -> int:
    lower = curve.name.lower()
    return 0 if "train" in lower else 1 if "val" in lower else 2 if "test" in lower else 0


def _curve(name: str, steps: np.ndarray, values: np.ndarray) -> Curve:
    if np.any(np.diff(steps) < 0):  # a resumed run may go back
        order = np.argsort(steps, kind="stable")
        steps, values = steps[order], values[order]
    goal, finite = words.goal(name), np.isfinite(values)
    best = ""
    if goal and finite.sum() > 1:
        at = int(
            np.argmax(np.where(finite, values, -np.inf))
            if goal == "max"
            else np.argmin(np.where(finite, values, np.inf))
        )
        best = f"best {words.metric(name, float(values[at]))} @ {int(steps[at]):,}"
    return Curve(name, steps, values, words.metric(name, finite_or_text(float(values[-1]))), best)


def run_picture(run: RunDirectory, status: RunStatus | None = None, evaluation: bool = False) -> bytes:
    """The picture of ``run`` as it is now.

    Args:
        run: the run.
        status: where it stands and its numbers, where the caller knows better; default: what is on disk.
        evaluation: show the numbers of a validation, test or prediction instead of the curves.

    Returns:
        a PNG of at most about 32 kB: two real pixels for a logical one, or one where that would be too large.

    Raises:
        RunNotFoundError: the run is gone.
        RunRecordError: its record can't be read.
    """
    status = status or run.status()
    charts = [] if evaluation else panels(RunReader(run))
    if not charts:
        return _number_card(run, status, evaluation)
    for quality in _QUALITIES[len(charts) > 4 :]:
        picture = _chart_card(run, status, charts, *quality)
        if len(picture) <= LIGHT:
            break
    return picture


def picture_size(png: bytes) -> tuple[int, int]:
    """Width and height in logical pixels at which a picture made here is to be shown."""
    width, height = struct.unpack(">II", png[16:24])
    scale = 1 if width in (WIDE, NARROW) else 2
    return width // scale, height // scale


def _header(canvas: Canvas, run: RunDirectory, status: RunStatus, evaluation: bool = False) -> float:
    """Name, state and extent; returns where the next line begins."""
    canvas.disc(PAD + 5, PAD + 6, 4.5, _STATES.get(status.state, _RUNNING))
    x = PAD + 17.0
    x += canvas.text(x, PAD, run.info.name, TEXT, size=1.2, weight=1.9) + 9
    x += canvas.text(x, PAD + 1.8, words.doing(status), QUIET) + 14
    extent = words.extent(status, evaluation)
    if x + canvas.measure(extent) < canvas.width - PAD:
        canvas.text(canvas.width - PAD, PAD + 1.8, extent, QUIET, align="right")
    y = PAD + 24.0
    if status.error:
        canvas.text(PAD, y, _fitting(canvas, status.error, canvas.width - 2 * PAD), ALARM)
        y += 19
    return y


def _fitting(canvas: Canvas, text: str, width: float) -> str:
    line = " ".join(text.split())[:300]
    while len(line) > 1 and canvas.measure(line) > width:
        line = line[:-2].rstrip("…") + "…"
    return line


def _chart_card(run: RunDirectory, status: RunStatus, charts: list[Panel], scale: int, smoothness: int) -> bytes:
    shown, more = charts[:MOST_PANELS], charts[MOST_PANELS:]
    width = NARROW if len(shown) == 1 else WIDE
    # The first chart takes a row of its own where that makes the rest come out even.
    rows = [shown[:1]] if len(shown) % 2 else []
    rest = shown[len(shown) % 2 :]
    rows += [rest[i : i + 2] for i in range(0, len(rest), 2)]
    top = PAD + 24 + (19 if status.error else 0) + 8
    heights = [max(panel.legend_height() for panel in row) + PLOT for row in rows]
    height = top + sum(heights) + GAP * (len(rows) - 1) + PAD - 4 + (18 if more else 0)
    canvas = Canvas(width, height, INKS, scale, smoothness)
    y = _header(canvas, run, status) - 4
    canvas.fill(PAD, y, width - 2 * PAD, 1, RULE)
    y += 12
    last = max(float(curve.x[-1]) for panel in charts for curve in panel.curves)
    first = min(0.0, *(float(curve.x[0]) for panel in charts for curve in panel.curves))
    for row, tall in zip(rows, heights, strict=True):
        wide = (width - 2 * PAD - GAP * (len(row) - 1)) / len(row)
        for number, panel in enumerate(row):
            draw_panel(canvas, (PAD + number * (wide + GAP), y, wide, tall), panel, (first, max(last, first + 1)))
        y += tall + GAP
    if more:
        names = ", ".join(panel.title for panel in more)
        note = _fitting(canvas, f"and {len(more)} more: {names}", width - 2 * PAD)
        canvas.text(PAD, y - GAP + 8, note, FAINT)
    canvas.frame(7, RULE)
    return canvas.png()


def _number_card(run: RunDirectory, status: RunStatus, evaluation: bool) -> bytes:
    metrics = list(words.ordered(status.metrics, status.headline).items())
    rows, more = metrics[:MOST_ROWS], len(metrics) - MOST_ROWS
    top = PAD + 24 + (19 if status.error else 0) + 8
    height = top + 22 * max(1, len(rows)) + PAD - 6 + (18 if more > 0 else 0)
    canvas = Canvas(NARROW, height, INKS)
    y = _header(canvas, run, status, evaluation) - 4
    canvas.fill(PAD, y, NARROW - 2 * PAD, 1, RULE)
    y += 13
    if not rows:
        canvas.text(PAD, y, "no metrics were logged", QUIET)
    for name, value in rows:
        canvas.text(PAD, y, _fitting(canvas, name, NARROW - 2 * PAD - 90), TEXT)
        alarm = isinstance(value, str)
        canvas.text(NARROW - PAD, y, words.metric(name, value), ALARM if alarm else TEXT, weight=1.6, align="right")
        y += 22
    if more > 0:
        canvas.text(PAD, y, f"and {more} more", FAINT)
    canvas.frame(7, RULE)
    return canvas.png()
