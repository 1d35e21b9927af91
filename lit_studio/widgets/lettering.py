"""Lettering for pictures: strokes from ``font.txt``, drawn smoothly at any size with numpy.

It must not know what is written or where: it turns a text into a small array of coverages.
"""

from __future__ import annotations

import functools
import itertools
import math
import unicodedata
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

Coverage = NDArray[np.float32]

TOP, BOTTOM = -2.0, 13.0
"""The band of the font's units that letters stay within; the base line lies at 9."""
SPACING = 2.0
_ARC_STEP = 15.0
_UNKNOWN = "\ufffd"


@dataclass(frozen=True, slots=True)
class Glyph:
    """One character: its width in the font's units, and its line segments ``(x0, y0, x1, y1)``, f64[n, 4]."""

    width: float
    segments: NDArray[np.float64]


@functools.cache
def _font() -> dict[str, Glyph]:
    glyphs = {}
    for line in (files(__package__) / "font.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("# ") or line == "#":
            continue
        name, width, *strokes = line.split(None, 2)
        character = chr(int(name[2:], 16)) if len(name) > 1 else name
        chains = [_chain(stroke) for stroke in strokes[0].split(" ; ")] if strokes else []
        segments = [(*a, *b) for chain in chains for a, b in itertools.pairwise(chain)]
        glyphs[character] = Glyph(float(width), np.array(segments, np.float64).reshape(-1, 4))
    return glyphs


def _chain(stroke: str) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for part in stroke.split():
        numbers = [float(number) for number in part.lstrip("@").split(",")]
        if not part.startswith("@"):
            points.append((numbers[0], numbers[1]))
            continue
        cx, cy, rx, ry, start, stop = numbers
        n = max(2, math.ceil(abs(stop - start) / _ARC_STEP) + 1)
        angles = np.radians(np.linspace(start, stop, n)).tolist()
        points += [(cx + rx * math.cos(angle), cy + ry * math.sin(angle)) for angle in angles]
    return points


def _glyph(character: str) -> Glyph:
    font = _font()
    if character in font:
        return font[character]
    plain = unicodedata.normalize("NFKD", character)[:1]  # é is written as e
    return font.get(plain, font[_UNKNOWN])


def width(text: str, unit: float) -> float:
    """How many pixels wide ``text`` is, one unit of the font being ``unit`` pixels."""
    return unit * (sum(_glyph(c).width + SPACING for c in text) - (SPACING if text else 0))


@functools.lru_cache(maxsize=1024)
def _draw(character: str, unit: float, pen: float) -> Coverage:
    glyph = _glyph(character)
    margin = math.ceil(pen / 2 + 1)
    rows, columns = math.ceil((BOTTOM - TOP) * unit), math.ceil(glyph.width * unit) + 2 * margin
    if not len(glyph.segments):
        return np.zeros((rows, columns), np.float32)
    y, x = np.mgrid[0:rows, 0:columns]
    px, py = (x + 0.5 - margin)[..., None], (y + 0.5 + TOP * unit)[..., None]
    x0, y0, x1, y1 = (glyph.segments * unit).T
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(((px - x0) * dx + (py - y0) * dy) / np.maximum(dx * dx + dy * dy, 1e-9), 0, 1)
    distance = np.sqrt((px - x0 - along * dx) ** 2 + (py - y0 - along * dy) ** 2).min(axis=-1)
    return np.clip(pen / 2 + 0.5 - distance, 0, 1).astype(np.float32)


def draw_text(text: str, unit: float, pen: float) -> tuple[Coverage, int]:
    """``text`` as coverages from 0 to 1.

    Args:
        text: one line; characters that the font lacks become their plain letter, else a box.
        unit: pixels for one unit of the font (capitals are 9 units high).
        pen: the pen's width in pixels.

    Returns:
        the array f32[rows, columns], whose first row lies :data:`TOP` units from the capitals' upper edge, and the
        column at which the text begins (round pens reach a little to the left of it).
    """
    margin = math.ceil(pen / 2 + 1)
    out = np.zeros((math.ceil((BOTTOM - TOP) * unit), math.ceil(width(text, unit)) + 2 * margin + 1), np.float32)
    at = 0.0
    for character in text:
        letter = _draw(character, unit, pen)
        column = round(at)
        window = out[:, column : column + letter.shape[1]]
        np.maximum(window, letter[:, : window.shape[1]], out=window)
        at += (_glyph(character).width + SPACING) * unit
    return out, margin
