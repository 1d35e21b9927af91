"""A fit that goes on from an earlier checkpoint: the curve goes back, and what was abandoned stays as a branch."""

from __future__ import annotations

import numpy as np
import pytest

from lit_studio.base.events import MetricsLogged, Points, Progressed, RunStarted
from lit_studio.tracking import RunReader
from tests.unit.tracking.packet_client import Client, decode
from tests.unit.tracking.recording import Recording


def go_on(recording: Recording, step: int, stage: str = "train") -> None:
    """Another execution begins in the same directory."""
    recording.recorder.observe(RunStarted(recording.now, stage, 4, -1, step=step))
    recording.step, recording.active = step, 0.0


def test_the_curve_goes_back_and_the_abandoned_stretch_becomes_a_branch(tmp_path):
    recording = Recording(tmp_path / "run")
    for at in range(0, 150, 30):
        recording.flush(loss=[float(at + i) for i in range(30)], rare=[1.0])
    client = Client(RunReader(recording.run))
    client.poll()
    assert client.branches == {}
    go_on(recording, 100)
    recording.flush(loss=[-1.0] * 100)
    client.poll()
    client.assert_equals_full()
    x, y = client.branches[0][0]
    assert x[0] == 99, "the branch forks off from the last point that stays"
    assert x[-1] == 149
    assert y.tolist() == x.tolist()
    steps, values = RunReader(recording.run).values("loss")
    assert steps.tolist() == list(range(200))
    assert values.tolist() == [*map(float, range(100)), *[-1.0] * 100]
    assert client.header["series"][0]["min"][1] == -1.0
    assert client.header["series"][0]["max"] == [99, 99.0], "extremes are those of the curve"
    # The second time from before the first fork: the first branch stays as it was.
    go_on(recording, 50)
    recording.flush(loss=[7.0] * 5)
    client.poll()
    client.assert_equals_full()
    assert [len(each) for each in client.branches[0]] == [2, 2]
    assert client.branches[0][1][0][[0, -1]].tolist() == [49, 199]
    assert client.header["branches"][0]["number"] == 1


def test_whoever_held_more_than_is_left_is_told_anew_even_after_it_has_grown_back(tmp_path):
    recording = Recording(tmp_path / "run")
    recording.flush(loss=[1.0] * 60)
    client = Client(RunReader(recording.run))
    client.poll()
    go_on(recording, 10)
    recording.flush(loss=[2.0] * 54)  # longer than what was held: only the number of branches tells
    client.poll()
    client.assert_equals_full()
    assert client.shown[0][2].tolist() == [1.0] * 10 + [2.0] * 54


def test_a_new_fit_in_the_same_directory_leaves_the_old_one_behind_and_a_test_leaves_it_alone(tmp_path):
    recording = Recording(tmp_path / "run")
    recording.flush(loss=[1.0] * 20)
    go_on(recording, 0, "test")
    recording.flush(test_loss=[0.5])
    client = Client(RunReader(recording.run))
    client.poll()
    assert client.branches == {}
    go_on(recording, 0)
    recording.flush(loss=[3.0] * 4)
    client.poll()
    client.assert_equals_full()
    assert client.shown[0][2].tolist() == [3.0] * 4
    assert len(client.branches[0][0][0]) == 20
    assert client.shown[1][2].tolist() == [], "what was tested was the model that was left behind"


@pytest.mark.parametrize("restored", [True, False])
def test_samples_go_back_with_the_curve_whether_their_counter_was_restored_or_not(restored, tmp_path):
    recording = Recording(tmp_path / "run")
    for _ in range(3):
        recording.flush(loss=[1.0] * 50)
    go_on(recording, 100)
    for _ in range(2):
        seen = 32 * (recording.step + 50 - (0 if restored else 100))
        recording.recorder.observe(
            Progressed(recording.now, "train", recording.step + 50, 0, 0, None, samples=seen, active=recording.now)
        )
        points = Points("loss", range(recording.step, recording.step + 50), [2.0] * 50)
        recording.recorder.observe(MetricsLogged(recording.now, 0, (points,)))
        recording.step += 50
    _, [(x, _), (branch, _)] = decode(RunReader(recording.run).packet(axis="samples"))
    np.testing.assert_allclose(x, 32 * np.arange(1, 201))
    np.testing.assert_allclose(branch, 32 * np.arange(100, 151))


def test_branches_follow_every_axis_and_stay_small(tmp_path):
    recording = Recording(tmp_path / "run", planned_steps=400_000)
    recording.flush(seconds=100, loss=np.sin(np.arange(100_000)).tolist())
    go_on(recording, 50_000)
    recording.flush(seconds=50, loss=[0.0] * 10)
    for axis in ("step", "epoch", "time", "active", "samples"):
        header, arrays = decode(RunReader(recording.run).packet(axis=axis))
        x, y = arrays[1]
        assert len(x) <= 512
        assert np.all(np.diff(x) >= 0)
        assert y.max() > 0.999
        assert header["branches"] == [{"series": 0, "number": 0, "total": 50_001, "points": len(x)}]
