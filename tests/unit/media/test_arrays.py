"""Users' values become pixels: every order of axes, every dtype, and clear words for what is no image."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from lit_studio.base.errors import InvalidTypeError, InvalidValueError
from lit_studio.media.arrays import as_pixels, shrink
from lit_studio.media.png import encode_pixels


def decoded(png):
    """The pixels as another program reads them."""
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (40, 64)])
def test_a_png_is_read_by_others_as_it_was_written(channels, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8)
    read = decoded(encode_pixels(pixels))
    assert np.array_equal(read.reshape(pixels.shape), pixels)


def test_a_smooth_picture_is_smaller_than_noise():
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None], (256, 256, 1)).copy()
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 1), np.uint8)
    assert len(encode_pixels(ramp)) * 20 < len(encode_pixels(noise))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 7), (5, 7, 1)),
        ((1, 5, 7), (5, 7, 1)),
        ((3, 5, 7), (5, 7, 3)),
        ((4, 5, 7), (5, 7, 4)),
        ((5, 7, 3), (5, 7, 3)),
        ((5, 7, 1), (5, 7, 1)),
        ((3, 8, 3), (8, 3, 3)),
        ((4, 3, 5, 7), (12, 16, 3)),
        ((4, 5, 7, 3), (12, 16, 3)),
        ((1, 3, 5, 7), (5, 7, 3)),
    ],
)
def test_every_usual_order_of_axes_is_an_image(shape, expected):
    for value in (np.zeros(shape), torch.zeros(shape)):
        assert as_pixels(value).shape == expected


def test_tensors_and_arrays_of_the_same_numbers_look_the_same():
    value = np.random.default_rng(0).random((3, 6, 9), np.float32)
    for given in (torch.tensor(value), torch.tensor(value, requires_grad=True), value.astype(np.float64)):
        assert np.array_equal(as_pixels(given), as_pixels(value))
    assert np.array_equal(as_pixels(value), np.rint(np.moveaxis(value, 0, 2) * 255).astype(np.uint8))
    assert as_pixels(torch.tensor(value, dtype=torch.bfloat16)).shape == (6, 9, 3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([[0, 255]], np.uint8), [[0, 255]]),
        (np.array([[0, 200]], np.int64), [[0, 200]]),
        (np.array([[-1, 1]], np.int64), [[0, 255]]),
        (np.array([[0, 300]], np.int32), [[0, 255]]),
        (np.array([[True, False]]), [[255, 0]]),
        (np.array([[0.0, 0.5, 1.0]]), [[0, 128, 255]]),
        (np.array([[-2.0, 2.0]]), [[0, 255]]),
        (np.array([[7.0, 7.0]]), [[0, 0]]),
        (np.array([[np.nan, 1.0]]), [[0, 255]]),
        (np.array([[-np.inf, np.inf]]), [[0, 255]]),
    ],
)
def test_numbers_become_shades(value, expected):
    assert as_pixels(value)[..., 0].tolist() == expected


def test_pictures_of_pil_are_taken_as_they_look():
    colours = Image.new("RGB", (4, 2), (10, 20, 30))
    assert as_pixels(colours).shape == (2, 4, 3)
    assert as_pixels(colours)[0, 0].tolist() == [10, 20, 30]
    assert as_pixels(colours.quantize(4))[0, 0, :3].tolist() == [10, 20, 30]
    assert as_pixels(colours.convert("L")).shape == (2, 4, 1)
    assert as_pixels(colours.convert("1")).shape == (2, 4, 1)


def test_a_batch_lies_in_rows():
    batch = np.zeros((3, 2, 2, 1), np.uint8)
    for index in range(3):
        batch[index] = 10 * (index + 1)
    sheet = as_pixels(batch)
    assert (sheet[0, 0, 0], sheet[0, 4, 0], sheet[4, 0, 0]) == (10, 20, 30)


@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (5, 6, 7), (2, 5, 6, 7), (1, 2, 3, 4, 5), (65, 3, 4, 4)])
def test_a_shape_that_is_no_image_is_told_with_those_that_are(shape):
    with pytest.raises(InvalidValueError, match=r"expected .*\(H, W|1 to 64"):
        as_pixels(np.zeros(shape))


@pytest.mark.parametrize("value", ["text", None, object(), {"a": 1}, [[1, 2], [3]], np.zeros((2, 2), np.complex64)])
def test_what_is_no_array_is_told(value):
    with pytest.raises(InvalidTypeError, match="can't be read as an image"):
        as_pixels(value)


def test_a_large_picture_is_averaged():
    pixels = np.zeros((100, 40, 1), np.uint8)
    pixels[::2] = 200
    small = shrink(pixels, 50)
    assert small.shape == (50, 20, 1)
    assert set(small.ravel().tolist()) == {100}
    assert shrink(pixels, 100) is pixels
