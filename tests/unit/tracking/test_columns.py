"""What a chart draws of 200 random series: every pixel column shows the extremes of the full data."""

from __future__ import annotations

import numpy as np
import pytest

from lit_studio.base.events import RunStarted
from lit_studio.tracking import AXES, RunReader
from lit_studio.tracking.timeline import EpochScale
from tests.unit.tracking.packet_client import Client, decode
from tests.unit.tracking.recording import Recording

WIDTH = 431  # pixels; no divisor of anything
SERIES = 200


def random_series(rng: np.random.Generator) -> list[float]:
    """One of the kinds that go wrong: spikes, gaps, infinities, constants, single points, walks, huge ranges."""
    n = int(rng.choice([1, 2, 40, 500, 3_000, 20_000]))
    values = {
        "noise": lambda: rng.normal(size=n),
        "walk": lambda: rng.normal(size=n).cumsum(),
        "constant": lambda: np.full(n, 0.25),
        "decay": lambda: np.exp(-np.arange(n) / max(1, n / 5)) * 1e4 + rng.normal(size=n),
        "nothing": lambda: np.full(n, np.nan),
    }[str(rng.choice(["noise", "walk", "constant", "decay", "nothing"], p=[0.3, 0.3, 0.1, 0.25, 0.05]))]()
    values[rng.random(n) < rng.choice([0, 0.001, 0.01])] *= 1e5
    values[rng.random(n) < rng.choice([0, 0.01, 0.2])] = rng.choice([np.nan, np.inf, -np.inf])
    return [float(value) for value in values]


def record(folder, rng: np.random.Generator, values: list[float]) -> tuple[Recording, np.ndarray]:
    """Write ``values`` as a run would, now and then resumed from an earlier step; also what is left of them."""
    recording = Recording(folder)
    kept: list[float] = []
    at = 0
    while at < len(values):
        size = int(rng.integers(1, 1_500))
        recording.flush(seconds=float(rng.uniform(0.05, 2)), loss=values[at : at + size])
        kept += values[at : at + size]
        at += size
        if rng.random() < 0.15:
            recording.step = int(rng.integers(0, recording.step + 1))
            recording.active, kept = 0.0, kept[: recording.step]
            recording.recorder.observe(RunStarted(recording.now, "train", 4, -1, step=recording.step))
    return recording, np.array(kept)


def columns_of(x: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    column = np.floor((x - window[0]) * (WIDTH / (window[1] - window[0]))).astype(int)
    column[(column == WIDTH) & (x <= window[1])] = WIDTH - 1
    return column


def places(reader: RunReader, axis: str, total: int) -> np.ndarray:
    """Where all points lie on ``axis``: the reader's own word for it, since what is tested is what is shown."""
    scale = EpochScale.from_events(reader.events()[0], reader.run.status().planned_steps)
    return reader._timeline.place(reader._series[0], np.arange(total), axis, scale)


def extremes_by_column(x: np.ndarray, y: np.ndarray, window: tuple[float, float]) -> dict[int, tuple[float, float]]:
    found: dict[int, tuple[float, float]] = {}
    for column, value in zip(columns_of(x, window).tolist(), y.tolist(), strict=True):
        if 0 <= column < WIDTH and np.isfinite(value):
            low, high = found.get(column, (value, value))
            found[column] = min(low, value), max(high, value)
    return found


@pytest.mark.parametrize("axis", AXES)
def test_each_pixel_column_of_a_picture_that_stands_still_shows_the_extremes_of_all_points(axis, tmp_path):
    rng = np.random.default_rng(AXES.index(axis))
    for number in range(SERIES // len(AXES)):
        recording, kept = record(tmp_path / str(number), rng, random_series(rng))
        reader = RunReader(recording.run)
        steps, y = reader.values("loss")
        assert steps.tolist() == list(range(len(kept)))
        np.testing.assert_array_equal(y, kept)
        x = places(reader, axis, len(kept))
        if not len(x):
            continue
        for window in ((float(x[0]), float(x[-1]) + 1e-3), tuple(np.sort(rng.uniform(x[0], x[-1] + 1, 2)).tolist())):
            header, [(drawn_x, drawn_y)] = decode(reader.packet(width=WIDTH, axis=axis, x0=window[0], x1=window[1]))
            assert len(drawn_x) <= 2 * WIDTH + 2
            wanted = extremes_by_column(x, y.astype(np.float32), window)
            assert extremes_by_column(drawn_x, drawn_y, window) == wanted, (number, window, header["series"][0])
        recording.end()


def test_while_it_grows_every_extreme_lies_within_one_bucket_of_its_place(tmp_path):
    rng = np.random.default_rng(7)
    for number in range(40):
        values = random_series(rng)
        recording = Recording(tmp_path / str(number))
        client = Client(RunReader(recording.run), width=512)
        for at in range(0, len(values), 1_700):
            recording.flush(loss=values[at : at + 1_700])
            client.poll()
        recording.end()
        stride, x, y = client.shown[0]
        full = np.array(values, np.float32)
        for first in range(0, len(values), stride):
            bucket, shown = full[first : first + stride], y[(x >= first) & (x < first + stride)]
            finite = bucket[np.isfinite(bucket)]
            if len(finite):
                drawn = shown[np.isfinite(shown)]
                assert (drawn.min(), drawn.max()) == (finite.min(), finite.max())
