"""A small canvas in palette colours with smooth edges, and its PNG: numpy and zlib, no drawing library.

It must not know what is drawn. Lengths are in units of one logical pixel; ``scale`` says how many real pixels
that is, so that the same drawing serves plain and dense screens. Every ink has a few levels of coverage on white,
which is what makes edges smooth while the file stays a palette image of a few kilobytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_studio.media.png import assemble
from lit_studio.widgets import lettering

LEVELS = 7
"""Coverage levels of an ink: 1 (faint) to 7 (full); 0 is the white of the paper."""
CLEAR = 255
"""The palette's last entry: nothing at all, outside the card's round corners."""
_TEXT = ("left", "right", "center")


class Canvas:
    """``width`` × ``height`` logical pixels of white, drawn on with inks.

    Args:
        width: logical pixels.
        height: logical pixels.
        inks: colours as ``"rrggbb"``, at most 36; an ink is named by its place in this list.
        scale: real pixels in one logical pixel, 1 or 2.
        smoothness: how many of the :data:`LEVELS` to use; fewer make a smaller file.
    """

    def __init__(self, width: int, height: int, inks: Sequence[str], scale: int = 2, smoothness: int = LEVELS):
        self.width, self.height, self.inks, self.scale = width, height, tuple(inks), scale
        self._smoothness = smoothness
        self._pixels = np.zeros((height * scale, width * scale), np.uint8)

    def cover(self, x: int, y: int, coverage: NDArray[Any], ink: int) -> None:
        """Lay ``coverage`` (0 to 1, real pixels) of ``ink`` over the canvas, its corner at real pixel ``(x, y)``.

        Where two inks meet, the one that covers more wins; equal ones go to the later.
        """
        top, left = max(0, -y), max(0, -x)
        coverage = coverage[top : max(top, self._pixels.shape[0] - y), left : max(left, self._pixels.shape[1] - x)]
        y, x = y + top, x + left
        window = self._pixels[y : y + coverage.shape[0], x : x + coverage.shape[1]]
        steps = np.rint(coverage * self._smoothness)
        level = np.rint(steps * (LEVELS / self._smoothness)).astype(np.uint8)
        present = np.where(window > 0, (window - 1) % LEVELS + 1, 0)
        np.copyto(window, 1 + ink * LEVELS + level - 1, where=(level > 0) & (level >= present))

    def fill(self, x: float, y: float, width: float, height: float, ink: int, level: float = 1.0) -> None:
        """A filled rectangle; ``level`` below 1 tints it."""
        s = self.scale
        shape = (max(1, round(height * s)), max(1, round(width * s)))
        self.cover(round(x * s), round(y * s), np.full(shape, level), ink)

    def dots(self, x: float, y: float, width: float, ink: int) -> None:
        """A fine dotted line from ``(x, y)`` to the right."""
        row = np.zeros((1, round(width * self.scale)))
        row[:, :: 3 * self.scale] = 1
        if self.scale > 1:
            row[:, 1 :: 3 * self.scale] = 1
        self.cover(round(x * self.scale), round(y * self.scale), row, ink)

    def disc(self, x: float, y: float, radius: float, ink: int) -> None:
        """A filled disc around ``(x, y)``."""
        s = self.scale
        reach = int(np.ceil(radius * s + 1))
        cx, cy = round(x * s), round(y * s)
        rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        distance = np.hypot(rows + cy - y * s, columns + cx - x * s)
        self.cover(cx - reach, cy - reach, np.clip(radius * s + 0.5 - distance, 0, 1), ink)

    def text(
        self, x: float, y: float, text: str, ink: int, size: float = 1.0, weight: float = 1.15, align: str = "left"
    ) -> float:
        """Write one line whose capitals reach from ``y`` to ``y + 9 × size``; returns its width in logical pixels.

        Args:
            x: left edge, right edge or centre, as ``align`` says.
            y: upper edge of the capitals.
            text: what to write.
            ink: the ink.
            size: logical pixels for one unit of the font.
            weight: width of the pen in logical pixels.
            align: ``"left"``, ``"right"`` or ``"center"``.
        """
        s = self.scale
        wide = lettering.width(text, size * s)
        drawn, margin = lettering.draw_text(text, size * s, weight * s)
        start = x * s - wide * _TEXT.index(align) / (1 if align == "right" else 2) if align != "left" else x * s
        self.cover(round(start) - margin, round((y + lettering.TOP * size) * s), drawn, ink)
        return wide / s

    def measure(self, text: str, size: float = 1.0) -> float:
        """Width of ``text`` in logical pixels."""
        return lettering.width(text, size)

    def frame(self, radius: float, ink: int) -> None:
        """A thin border around the whole canvas with round corners; what lies outside becomes transparent."""
        s = self.scale
        height, width = self._pixels.shape
        r = radius * s
        x = np.abs(np.arange(width) + 0.5 - width / 2) - (width / 2 - r)
        y = np.abs(np.arange(height) + 0.5 - height / 2) - (height / 2 - r)
        distance = np.hypot(np.maximum(x, 0)[None, :], np.maximum(y, 0)[:, None])
        outside = distance > r
        self.cover(0, 0, np.where(~outside & (distance > r - s), 1.0, 0.0), ink)
        self._pixels[outside] = CLEAR

    def png(self) -> bytes:
        """The picture as a palette PNG."""
        height, width = self._pixels.shape
        rows = np.zeros((height, width + 1), np.uint8)  # the first byte of each row says: no filter
        rows[:, 1:] = self._pixels
        palette = bytearray(256 * 3)
        palette[:3] = b"\xff\xff\xff"
        for number, ink in enumerate(self.inks):
            colour = np.frombuffer(bytes.fromhex(ink), np.uint8).astype(float)
            for level in range(1, LEVELS + 1):
                shade = 255 + (colour - 255) * level / LEVELS
                at = 3 * (number * LEVELS + level)
                palette[at : at + 3] = bytes(np.rint(shade).astype(np.uint8))
        return encode_png(rows, width, bytes(palette), b"\xff" * CLEAR + b"\0")


def encode_png(rows: NDArray[np.uint8], width: int, palette: bytes = b"", opacity: bytes = b"") -> bytes:
    """A PNG of ``rows``, each of which begins with a zero byte: palette indices, or RGB where there is no palette."""
    body = zlib.compress(rows.tobytes(), 7)
    return assemble(width, len(rows), 3 if palette else 2, body, palette, opacity)
