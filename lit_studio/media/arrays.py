"""Users' values as numpy arrays: tensors on any device, PIL images, lists.

It must not know what becomes of them, nor import a library to recognise its objects: it asks for their methods.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_studio.base.errors import InvalidTypeError, InvalidValueError

Pixels = NDArray[np.uint8]

IMAGE_SHAPES = "(H, W), (1, 3 or 4, H, W) as (C, H, W), (H, W, 1, 3 or 4), or a batch (N, C, H, W) or (N, H, W, C)"
MOST_IN_A_BATCH = 64
_CHANNELS = (1, 3, 4)
_GAP = 2


def as_array(value: Any, what: str) -> NDArray[Any]:
    """``value`` as an array on the host, of whatever shape.

    Args:
        value: an array, a tensor on any device and of any dtype, a PIL image, nested sequences, or a number.
        what: what it is for, shown in errors: ``"an image"``.

    Raises:
        InvalidTypeError: it can't be read as an array of real numbers.
    """
    given = value
    if callable(getattr(value, "detach", None)):  # a tensor; bfloat16 and the 8-bit floats are unknown to numpy
        value = value.detach()
        value = value.cpu() if callable(getattr(value, "cpu", None)) else value
        if str(getattr(value, "dtype", "")).removeprefix("torch.") in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
            value = value.float()
    elif getattr(value, "mode", None) == "P" and callable(getattr(value, "convert", None)):
        value = value.convert("RGBA")  # a PIL image with a palette, whose numbers are no colours
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidTypeError(f"This can't be read as {what} ({error})", value=type(given).__name__) from error
    if array.dtype.kind not in "biuf":
        raise InvalidTypeError(f"This can't be read as {what}", value=type(given).__name__, valid="real numbers")
    return array


def as_pixels(value: Any) -> Pixels:
    """``value`` as u8[H, W, C] with C = 1, 3 or 4; a batch becomes one picture, in rows.

    u8, and other integers from 0 to 255, are taken as they are. Booleans are black and white. Floats from 0 to 1 are
    scaled by 255; any others are stretched from their smallest to their largest value. NaN is black.

    Raises:
        InvalidTypeError: it is no array.
        InvalidValueError: it has another shape than :data:`IMAGE_SHAPES` says, or is empty.
    """
    array = as_array(value, "an image")
    if array.ndim == 4:
        array = _in_rows(_channels_last(array, array.shape))
    elif array.ndim == 3:
        array = _channels_last(array[None], array.shape)[0]
    elif array.ndim == 2:
        array = array[..., None]
    else:
        raise _no_image(array.shape)
    if 0 in array.shape:
        raise _no_image(array.shape)
    return _as_bytes(array)


def _channels_last(batch: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if batch.shape[1] in _CHANNELS and batch.shape[3] not in _CHANNELS:
        return np.moveaxis(batch, 1, 3)
    if batch.shape[3] in _CHANNELS and batch.shape[1] not in _CHANNELS:
        return batch
    if batch.shape[1] in _CHANNELS and batch.shape[3] in _CHANNELS:
        # A picture a few pixels wide: torch's order is the likelier one, unless only numpy's makes an image.
        return np.moveaxis(batch, 1, 3) if batch.shape[1] in (1, 3) else batch
    raise _no_image(shape)


def _no_image(shape: tuple[int, ...]) -> InvalidValueError:
    return InvalidValueError("This is no image", value=shape, valid=IMAGE_SHAPES)


def _in_rows(batch: NDArray[Any]) -> NDArray[Any]:
    number, height, width, channels = batch.shape
    if not 1 <= number <= MOST_IN_A_BATCH:
        raise InvalidValueError(
            "So many images don't fit into one picture", value=number, valid=f"1 to {MOST_IN_A_BATCH}"
        )
    columns = min(number, max(1, round((number * height / width) ** 0.5)))
    rows = -(-number // columns)
    shape = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels)
    sheet = np.full(shape, batch.min(), batch.dtype)
    for index, image in enumerate(batch):
        y, x = (index // columns) * (height + _GAP), (index % columns) * (width + _GAP)
        sheet[y : y + height, x : x + width] = image
    return sheet


def _as_bytes(array: NDArray[Any]) -> Pixels:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    real = np.nan_to_num(array.astype(np.float64), nan=0.0)
    low, high = float(real.min()), float(real.max())
    if array.dtype.kind in "iu" and low >= 0 and high <= 255:
        return real.astype(np.uint8)
    if low < 0 or high > 1:
        real = (real / 2 - low / 2) / (high / 2 - low / 2) if high > low else np.zeros_like(real)
    return np.rint(real * 255).astype(np.uint8)


def shrink(pixels: Pixels, most: int) -> Pixels:
    """``pixels`` with at most ``most`` of them on a side: means of blocks."""
    height, width, channels = pixels.shape
    factor = -(-max(height, width) // most)
    if factor <= 1:
        return pixels
    rows, columns = max(1, height // factor), max(1, width // factor)
    fy, fx = min(factor, height), min(factor, width)
    blocks = pixels[: rows * fy, : columns * fx].reshape(rows, fy, columns, fx, channels)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
