from __future__ import annotations

import math

import numpy as np
import pytest

from lit_studio.base.errors import InvalidTypeError, InvalidValueError
from lit_studio.tracking import RunReader
from lit_studio.widgets import image_grid, lettering, picture
from lit_studio.widgets.canvas import Canvas
from lit_studio.widgets.charts import CURVE_INKS, INKS, Curve, Panel, draw_panel, tick_label, ticks
from tests.unit.widgets import png

BLUE, ORANGE = (np.frombuffer(bytes.fromhex(ink), np.uint8) for ink in CURVE_INKS[:2])
RED = np.frombuffer(bytes.fromhex("cf222e"), np.uint8)


def is_ink(pixels, ink):
    return (pixels[..., :3] == ink).all(axis=-1)


def test_every_printable_character_is_drawn_within_its_band():
    for code in range(32, 127):
        drawn, _ = lettering.draw_text(chr(code), 2.0, 2.0)
        assert drawn.min() >= 0
        assert drawn.max() <= 1
        assert (drawn.max() > 0.9) == (code != 32), chr(code)
        # Nothing is cut off by the upper or lower edge.
        assert not drawn[0].any(), chr(code)
        assert not drawn[-1].any(), chr(code)


def test_no_two_letters_look_alike():
    drawn = {}
    for code in range(33, 127):
        picture_of = lettering.draw_text(chr(code), 2.0, 2.0)[0]
        key = picture_of.tobytes(), picture_of.shape
        assert key not in drawn, (chr(code), drawn[key])
        drawn[key] = chr(code)


def test_what_the_font_lacks_becomes_its_plain_letter_or_a_box():
    assert (lettering.draw_text("é", 2.0, 2.0)[0] == lettering.draw_text("e", 2.0, 2.0)[0]).all()
    assert (lettering.draw_text("漢", 2.0, 2.0)[0] == lettering.draw_text("字", 2.0, 2.0)[0]).all()


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 1, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.98, 1.0, ["0.980", "0.985", "0.990", "0.995", "1.000"]),
        (0, 1_850, ["0", "500", "1,000", "1,500"]),
        (0, 20_000, ["0", "5k", "10k", "15k", "20k"]),
        (-3e-7, 3e-7, ["-2e-7", "0", "2e-7"]),
        (0, 2.3, ["0", "0.5", "1.0", "1.5", "2.0"]),
        (0, 5e6, ["0", "1M", "2M", "3M", "4M", "5M"]),
    ],
)
def test_ticks_are_round_and_their_labels_differ(low, high, labels):
    marks, step = ticks(low, high, 5)
    found = [tick_label(mark, step) for mark in marks]
    assert found == labels
    assert all(low - step * 1e-6 <= mark <= high + step * 1e-6 for mark in marks)


def test_ticks_of_nothing():
    assert ticks(1.0, 1.0, 5) == ([1.0], 1.0)


def draw(*curves, width=400, height=220, scale=2):
    canvas = Canvas(width, height, INKS, scale)
    last = max(curve.x[-1] for curve in curves)
    draw_panel(canvas, (0, 0, width, height), Panel("p", curves), (0, last))
    return png.read(canvas.png())


def test_a_spike_of_one_step_among_a_million_is_seen():
    y = np.zeros(1_000_000)
    y[777_777] = 100.0
    x = np.arange(1_000_000.0)
    without = draw(Curve("loss", x, np.where(y > 0, 0, y) + np.r_[100.0, np.zeros(999_999)]))
    spiked = draw(Curve("loss", x, y + np.r_[100.0, np.zeros(999_999)]))
    rows, columns = np.nonzero((without != spiked).any(axis=-1))
    assert np.ptp(rows) > 200, "the spike reaches from the bottom to the top"
    assert np.ptp(columns) <= 4
    assert abs(columns.mean() / without.shape[1] - 0.777_777) < 0.05


def test_curves_lie_where_their_values_say():
    x = np.arange(101.0)
    pixels = draw(Curve("a", x, x.copy()))
    rows, columns = np.nonzero(is_ink(pixels, BLUE)[60:])  # below the legend
    slope, _ = np.polyfit(columns, rows, 1)
    straight = np.corrcoef(columns, rows)[0, 1]
    assert slope < 0
    assert straight < -0.999


def test_missing_values_break_the_line_and_are_marked_in_red():
    x = np.arange(100.0)
    y = np.where((x > 40) & (x < 60), np.nan, 1 + x / 100)
    pixels = draw(Curve("a", x, y))
    blue = is_ink(pixels, BLUE)[60:].any(axis=0)
    middle = slice(int(0.5 * pixels.shape[1]), int(0.55 * pixels.shape[1]))
    assert not blue[middle].any()
    assert blue[: middle.start].any()
    assert blue[middle.stop :].any()
    assert is_ink(pixels, RED).any()


def test_curves_differ_by_dash_too():
    x = np.arange(100.0)
    pixels = draw(Curve("a", x, np.zeros(100)), Curve("b", x, np.ones(100)))
    lines = pixels[80:]
    solid, dashed = (is_ink(lines, ink).any(axis=0) for ink in (BLUE, ORANGE))
    inner = slice(60, -10)
    assert solid[inner].all()
    assert 0.4 < dashed[inner].mean() < 0.9


@pytest.mark.parametrize("value", [1e300, -1e300, 5e-324, 0.0, math.nan, math.inf])
def test_extreme_values_are_drawn_without_a_warning(value):
    draw(Curve("a", np.arange(5.0), np.array([value, 0.0, value, 1.0, value])))
    draw(Curve("a", np.arange(3.0), np.full(3, value)))


def test_a_family_is_what_train_and_val_have_in_common():
    names = ["train_loss", "val_loss", "train/loss", "loss", "loss_step", "loss_epoch", "val_loss/dataloader_idx_1"]
    assert {picture.family(name) for name in names} == {"loss"}
    assert picture.family("lr-AdamW") == "lr-AdamW"
    assert picture.family("train") == "train"


def test_panels_put_losses_first_and_leave_out_single_points(training):
    run = training(grad_norm=lambda s: 1.0, zero_loss=lambda s: 2.0)
    found = picture.panels(RunReader(run))
    assert [panel.title for panel in found] == ["loss", "zero_loss", "acc", "grad_norm"]
    accuracy = found[2].curves[0]
    assert accuracy.best.startswith("best 96.") or accuracy.best.startswith("best 97.")
    assert accuracy.best.endswith("@ 299")


def test_the_picture_has_round_transparent_corners_and_shows_both_curves(training):
    pixels = png.read(picture.run_picture(training(val_loss=lambda s: 0.5)))
    assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1], 3] == 0).all()
    assert (pixels[20, 20, :3] > 200).all()
    assert is_ink(pixels, BLUE).sum() > 1000
    assert is_ink(pixels, ORANGE).sum() > 500


def test_size_in_logical_pixels(training):
    data = picture.run_picture(training())
    width, height = picture.picture_size(data)
    assert png.read(data).shape[:2] == (2 * height, 2 * width)
    assert width in (picture.WIDE, picture.NARROW)


def test_the_picture_stays_light_however_much_was_logged(training):
    rng = np.random.default_rng(0)
    noise = {f"metric_{i}": lambda s: float(rng.normal()) for i in range(14)}
    data = picture.run_picture(training(steps=2000, **noise))
    assert len(data) < 36_000
    width, _ = picture.picture_size(data)
    assert width == picture.WIDE


def test_a_failed_run_says_why(training):
    plain = png.read(picture.run_picture(training(name="a")))
    failed = png.read(picture.run_picture(training(name="b", state="failed", error="ValueError: wrong " * 40)))
    assert failed.shape[0] > plain.shape[0]
    assert is_ink(failed, RED).sum() > 500


def test_a_run_without_curves_shows_its_numbers(training):
    data = picture.run_picture(training(), evaluation=True)
    assert picture.picture_size(data)[0] == picture.NARROW
    assert not is_ink(png.read(data), BLUE).any()


def test_image_grid_draws_what_it_is_given():
    images = np.zeros((3, 4, 4))
    images[1] = 1
    grid = image_grid(images, ["a", "b", "c"], good=[True, False, True], columns=2)
    pixels = png.read(grid.png())
    black, white = pixels[60, 60, :3], pixels[60, 60 + 2 * (72 + 14), :3]
    assert black.tolist() == [0, 0, 0]
    assert white.tolist() == [255, 255, 255]
    assert is_ink(pixels, np.array([0xCF, 0x22, 0x2E])).any()
    bundle, metadata = grid._repr_mimebundle_()
    assert bundle["text/plain"] == "3 images: a, b, c"
    assert metadata["image/png"]["width"] * 2 == pixels.shape[1]


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 1, 5, 7), (2, 3, 5, 7), (2, 5, 7, 3)])
def test_image_grid_takes_the_usual_layouts(shape):
    png.read(image_grid(np.random.default_rng(0).random(shape)).png())


def test_image_grid_keeps_bytes_as_they_are():
    pixels = png.read(image_grid(np.full((1, 2, 2), 100, np.uint8)).png())
    assert pixels[60, 60, :3].tolist() == [100, 100, 100]


def test_image_grid_refuses_what_it_cannot_show():
    with pytest.raises(InvalidValueError, match="stack of images"):
        image_grid(np.zeros((2, 2)))
    with pytest.raises(InvalidValueError, match="too many"):
        image_grid(np.zeros((201, 2, 2)))
    with pytest.raises(InvalidValueError, match="captions"):
        image_grid(np.zeros((2, 2, 2)), ["one"])
    with pytest.raises(InvalidTypeError, match="array"):
        image_grid([[["x"]]])
