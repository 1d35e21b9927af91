"""A grid of small images with captions as one PNG: what a model saw and what it said.

It must not know torch or any drawing library: whatever numpy can read as an array is an image.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_studio.base.errors import InvalidTypeError, InvalidValueError
from lit_studio.widgets import lettering
from lit_studio.widgets.canvas import encode_png

TILE, GAP, PAD, CAPTION = 72, 14, 14, 18
MOST = 200
_GOOD, _BAD, _PLAIN, _BORDER = (0x1A, 0x7F, 0x37), (0xCF, 0x22, 0x2E), (0x24, 0x29, 0x2F), (0xD0, 0xD7, 0xDE)
_SCALE = 2

Pixels = NDArray[np.uint8]


class ImageGrid:
    """Images in rows, each with a line below it; displays itself in a notebook.

    Args:
        images: ``(N, H, W)`` grey, ``(N, 1, H, W)``, ``(N, 3, H, W)`` or ``(N, H, W, 3)``, any real dtype; a CPU tensor
            is fine. Integers from 0 to 255 are taken as they are, everything else is stretched so that the smallest
            value is black and the largest is white. At most 200.
        captions: a line for each image.
        good: for each image whether its caption is right, shown in green or red; None shows all in black.
        columns: images in a row.

    Raises:
        InvalidTypeError: ``images`` can't be read as an array.
        InvalidValueError: it has another shape, or the lists have different lengths.
    """

    def __init__(
        self,
        images: Any,
        captions: Sequence[str] | None = None,
        good: Sequence[bool] | None = None,
        columns: int = 8,
    ):
        self._tiles = _as_tiles(images)
        n = len(self._tiles)
        for name, given in (("captions", captions), ("good", good)):
            if given is not None and len(given) != n:
                raise InvalidValueError(f"There must be one of {name} for each image", value=len(given), valid=str(n))
        if columns < 1:
            raise InvalidValueError("A row has at least one image", value=columns, valid="1 or more")
        self._captions = [str(caption) for caption in captions] if captions is not None else None
        self._colours = [_PLAIN] * n if good is None else [_GOOD if fine else _BAD for fine in good]
        self._columns = min(columns, max(1, n))

    def png(self) -> bytes:
        """The picture, on white."""
        s, n = _SCALE, len(self._tiles)
        height, width = TILE, round(TILE * self._tiles.shape[2] / self._tiles.shape[1])
        width = max(TILE // 2, min(width, 3 * TILE))
        below = CAPTION if self._captions is not None else 0
        rows = max(1, math.ceil(n / self._columns))
        paper = np.full(
            (
                s * (2 * PAD + rows * (height + below) + (rows - 1) * GAP),
                s * (2 * PAD + self._columns * width + (self._columns - 1) * GAP),
                3,
            ),
            255,
            np.uint8,
        )
        paper[[0, -1], :] = paper[:, [0, -1]] = _BORDER
        for number, tile in enumerate(self._tiles):
            row, column = divmod(number, self._columns)
            y, x = s * (PAD + row * (height + below + GAP)), s * (PAD + column * (width + GAP))
            paper[y : y + s * height, x : x + s * width] = _enlarge(tile, s * height, s * width)
            if self._captions is not None:
                middle = x + s * width // 2
                _write(paper, middle, y + s * (height + 7), self._captions[number], self._colours[number], width)
        return _png(paper)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        png = self.png()
        width, height = struct.unpack(">II", png[16:24])
        size = {"width": width // _SCALE, "height": height // _SCALE}
        return {"image/png": base64.b64encode(png).decode("ascii"), "text/plain": repr(self)}, {"image/png": size}

    def __repr__(self) -> str:
        told = "" if self._captions is None else f": {', '.join(self._captions)}"
        return f"{len(self._tiles)} images{told}"


def _as_tiles(images: Any) -> Pixels:
    """u8[N, H, W, 3]."""
    try:
        array = np.asarray(images)
        real = array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidTypeError(
            f"These images can't be read as an array ({error})", advice="Tensors: images.detach().cpu()"
        ) from error
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3):
        real = np.moveaxis(real, 1, 3)
    elif array.ndim == 3:
        real = real[..., None]
    if real.ndim != 4 or real.shape[3] not in (1, 3) or 0 in real.shape[1:]:
        raise InvalidValueError(
            "This is no stack of images", value=array.shape, valid="(N, H, W), (N, 1 or 3, H, W) or (N, H, W, 3)"
        )
    if len(real) > MOST:
        raise InvalidValueError("These are too many images for one picture", value=len(real), valid=f"at most {MOST}")
    if array.dtype != np.uint8 and real.size:
        real = np.nan_to_num(real)
        low, high = real.min(), real.max()
        real = (real - low) * (255 / (high - low)) if high > low else np.zeros_like(real)
    return np.repeat(real.round().astype(np.uint8), 3 // real.shape[3], axis=3)


def _enlarge(tile: Pixels, height: int, width: int) -> Pixels:
    rows = np.arange(height) * tile.shape[0] // height
    return tile[rows][:, np.arange(width) * tile.shape[1] // width]


def _write(paper: Pixels, middle: int, top: int, text: str, colour: tuple[int, int, int], width: float) -> None:
    while len(text) > 1 and lettering.width(text, 1.0) > width + GAP - 2:
        text = text[:-2].rstrip("…") + "…"
    drawn, margin = lettering.draw_text(text, _SCALE, 1.2 * _SCALE)
    left = max(0, middle - round(lettering.width(text, _SCALE) / 2) - margin)
    top += round(lettering.TOP * _SCALE)
    window = paper[top : top + drawn.shape[0], left : left + drawn.shape[1]]
    ink = drawn[: window.shape[0], : window.shape[1], None]
    window[:] = np.rint(window * (1 - ink) + np.array(colour) * ink)


def _png(paper: Pixels) -> bytes:
    height, width, _ = paper.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # the first byte of each row says: no filter
    rows[:, 1:] = paper.reshape(height, -1)
    return encode_png(rows, width)
