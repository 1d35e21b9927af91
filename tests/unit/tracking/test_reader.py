"""A run is read while it grows: what a screen puts together is what is on disk, at every moment."""

from __future__ import annotations

import os
import shutil
import threading
import time

import numpy as np
import pytest

from lit_studio.base.errors import InvalidValueError, RunNotFoundError
from lit_studio.base.runs import RunDirectory, RunRecorder
from lit_studio.tracking import AXES, RunReader
from tests.unit.tracking.packet_client import Client, decode
from tests.unit.tracking.recording import Recording, rough


def brute_force(values: list[float], stride: int) -> np.ndarray:
    """What should be drawn, computed the slow and obvious way."""
    shown = []
    for at in range(0, len(values), stride):
        bucket = values[at : at + stride]
        if stride == 1:
            shown += bucket
            continue
        finite = [(value, index) for index, value in enumerate(bucket) if np.isfinite(value)]
        if not finite:
            shown += [np.nan, np.nan]
            continue
        low = min(finite, key=lambda pair: (pair[0], pair[1]))
        high = max(finite, key=lambda pair: (pair[0], -pair[1]))
        shown += [value for value, _ in sorted((low, high), key=lambda pair: pair[1])]
    return np.array(shown, np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("axis", AXES)
def test_pieces_add_up_to_the_whole_at_every_moment(axis, seed, tmp_path):
    rng = np.random.default_rng(seed)
    recording = Recording(tmp_path / "run", planned_steps=None if seed % 2 else 1200)
    client = Client(RunReader(recording.run), axis)
    for _ in range(60):
        for _ in range(rng.integers(1, 4)):
            series = {"loss": rough(rng, int(rng.integers(1, 40)))}
            if rng.random() < 0.3:
                series["late"] = rough(rng, int(rng.integers(1, 3)))
            recording.flush(seconds=float(rng.uniform(0.05, 2)), **series)
            if rng.random() < 0.2:
                recording.end_epoch()
        if rng.random() < 0.7:
            client.poll()
            client.assert_equals_full()
    recording.end()
    client.poll()
    client.assert_equals_full()
    assert client.header["status"]["state"] == "finished"
    assert client.events[-1]["event"] == "RunEnded"
    for series in client.header["series"]:
        stride, _, y = client.shown[series["id"]]
        np.testing.assert_array_equal(y, brute_force(recording.logged[series["name"]][1], stride))


@pytest.mark.parametrize("total", [1, 2, 63, 64, 65, 127, 4096, 4097, 65_536, 100_003])
def test_the_stride_is_the_smallest_that_fits_and_every_bucket_is_right(total, tmp_path):
    rng = np.random.default_rng(total)
    recording = Recording(tmp_path / "run")
    values = rough(rng, total)
    recording.flush(loss=values)
    client = Client(RunReader(recording.run))
    client.poll()
    stride, _, y = client.shown[0]
    assert -(-total // stride) <= 64
    assert stride == 1 or -(-total // (stride // 2)) > 64
    np.testing.assert_array_equal(y, brute_force(values, stride))


def test_a_single_spike_in_a_million_points_is_shown_wherever_it_is(tmp_path):
    rng = np.random.default_rng(0)
    recording = Recording(tmp_path / "run")
    values = rng.normal(size=1_000_000)
    places = [0, 63, 64, 500_001, 999_999]
    values[places] = [100.0, -100.0, 101.0, 102.0, -103.0]
    for part in np.split(values, 100):
        recording.flush(loss=part.tolist())
    reader = RunReader(recording.run)
    client = Client(reader, width=64)
    client.poll()
    _, x, y = client.shown[0]
    for place in places:
        assert y[x == place] == pytest.approx(values[place])
    entry = client.header["series"][0]
    assert entry["min"] == [999_999, -103.0]
    assert entry["max"] == [500_001, 102.0]


def test_what_is_new_of_four_million_points_is_told_in_milliseconds(tmp_path):
    rng = np.random.default_rng(0)
    recording = Recording(tmp_path / "run")
    for _ in range(250):
        recording.flush(**{name: rng.normal(size=4000).tolist() for name in "abcd"})
    client = Client(RunReader(recording.run), width=1024)
    client.poll()
    times = []
    for _ in range(20):
        recording.flush(**{name: rng.normal(size=10).tolist() for name in "abcd"})
        before = time.perf_counter()
        client.poll()
        times.append(time.perf_counter() - before)
    assert sorted(times)[10] < 0.010
    assert client.received < 5_000
    client.assert_equals_full()


def test_epochs_become_fractions_and_move_once_their_length_is_known(tmp_path):
    recording = Recording(tmp_path / "run")
    reader = RunReader(recording.run)
    client = Client(reader, "epoch", width=1024)
    recording.flush(loss=[1.0] * 5)
    client.poll()
    assert client.shown[0][1].tolist() == [0.0] * 5  # nobody knows yet how long an epoch is
    recording.flush(loss=[1.0] * 5)
    recording.end_epoch()
    recording.flush(loss=[1.0] * 5)
    client.poll()
    np.testing.assert_allclose(client.shown[0][1], np.arange(15) / 10)
    client.assert_equals_full()


def test_the_plan_says_how_long_the_first_epoch_is(tmp_path):
    recording = Recording(tmp_path / "run", max_epochs=4, planned_steps=40)
    recording.flush(loss=[1.0] * 5)
    recording.recorder.close()  # writes the status
    client = Client(RunReader(recording.run), "epoch")
    client.poll()
    np.testing.assert_allclose(client.shown[0][1], np.arange(5) / 10)


def test_time_leaves_out_what_was_not_active_and_both_are_spread_over_a_flush(tmp_path):
    recording = Recording(tmp_path / "run")
    recording.flush(seconds=1.0, loss=[1.0, 1.0])
    recording.now += 60  # a pause
    recording.flush(seconds=1.0, loss=[1.0, 1.0])
    reader = RunReader(recording.run)
    places = {}
    for axis in ("time", "active", "samples"):
        client = Client(reader, axis)
        client.poll()
        places[axis] = client.shown[0][1]
    np.testing.assert_allclose(places["active"], [0.5, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(places["time"] - recording.started, [0.5, 1.0, 61.5, 62.0], atol=1e-5)
    np.testing.assert_allclose(places["samples"], [32, 64, 96, 128])


def test_a_second_call_in_one_directory_is_laid_behind_the_first(tmp_path):
    recording = Recording(tmp_path / "run")
    recording.flush(seconds=2.0, loss=[1.0] * 4)
    recording.end()
    again = Recording(tmp_path / "run")
    again.flush(seconds=1.0, loss=[1.0] * 2)
    client = Client(RunReader(again.run), "active")
    client.poll()
    np.testing.assert_allclose(client.branches[0][0][0], [0.5, 1.0, 1.5, 2.0])
    np.testing.assert_allclose(client.shown[0][1], [2.5, 3.0])


@pytest.mark.parametrize("axis", AXES)
def test_a_window_holds_all_its_points_and_reaches_its_edges(axis, tmp_path):
    rng = np.random.default_rng(1)
    recording = Recording(tmp_path / "run", planned_steps=400)
    for _ in range(10):
        recording.flush(seconds=float(rng.uniform(0.1, 1)), loss=rng.normal(size=int(rng.integers(1, 90))).tolist())
        recording.end_epoch()
    reader = RunReader(recording.run)
    _, [(every_x, every_y)] = decode(reader.packet(width=8192, axis=axis))
    for _ in range(50):
        x0, x1 = np.sort(rng.uniform(every_x[0] - 1, every_x[-1] + 1, size=2)).tolist()
        inside = (every_x >= x0) & (every_x <= x1)
        header, [(x, y)] = decode(reader.packet(width=8192, axis=axis, x0=x0, x1=x1, have="0:1:3"))
        entry = header["series"][0]
        assert entry["start"] == 0
        assert entry["stride"] == 1
        kept = (x >= x0) & (x <= x1)
        np.testing.assert_array_equal(x[kept], every_x[inside])
        np.testing.assert_array_equal(y[kept], every_y[inside])
        assert len(x) - kept.sum() <= 2
        if every_x[0] < x0 and x1 < every_x[-1]:
            assert x[0] < x0
            assert x[-1] > x1


def test_a_window_is_reduced_to_the_width_and_keeps_its_spike(tmp_path):
    recording = Recording(tmp_path / "run")
    values = np.random.default_rng(2).normal(size=200_000)
    values[123_456], values[100] = 50.0, 99.0
    recording.flush(loss=values.tolist())
    header, [(x, y)] = decode(RunReader(recording.run).packet(width=64, x0=100_001, x1=150_000))
    entry = header["series"][0]
    assert len(x) <= 2 * 64 + 2
    assert y.max() == 50.0
    assert entry["max"] == [123_456, 50.0]
    assert x.min() > 99_000
    assert x.max() < 151_500


def test_a_run_that_went_back_is_windowed_too(tmp_path):
    recording = Recording(tmp_path / "run")
    recording.flush(loss=[1.0] * 10)
    recording.step = 5
    recording.flush(loss=[2.0] * 10)
    _, [(x, y)] = decode(RunReader(recording.run).packet(x0=4, x1=7))
    assert x.tolist() == [4, 5, 6, 7, 5, 6, 7]
    assert y.tolist() == [1, 1, 1, 1, 2, 2, 2]


def test_non_finite_stretches_are_marked_where_they_begin(tmp_path):
    nan, inf = float("nan"), float("inf")
    recording = Recording(tmp_path / "run")
    recording.flush(loss=[nan, 1.0, inf, inf])
    recording.flush(loss=[inf, -inf, nan, nan, 2.0])
    reader = RunReader(recording.run)
    header, _ = decode(reader.packet())
    entry = header["series"][0]
    assert entry["nonfinite"] == [[0, "nan"], [2, "inf"], [5, "-inf"], [6, "nan"]]
    assert (entry["min"], entry["max"], entry["last"]) == ([1, 1.0], [8, 2.0], 2.0)
    window, _ = decode(reader.packet(x0=2.5, x1=6))
    assert window["series"][0]["nonfinite"] == [[2, "inf"], [5, "-inf"], [6, "nan"]]


def test_marks_are_at_most_fifty(tmp_path):
    recording = Recording(tmp_path / "run")
    recording.flush(loss=[float("nan"), 1.0] * 200)
    header, _ = decode(RunReader(recording.run).packet(width=8192))
    assert header["series"][0]["nonfinite"] == [[2 * i, "nan"] for i in range(50)]


def test_a_finite_value_too_large_for_the_screen_stays_finite(tmp_path):
    recording = Recording(tmp_path / "run")
    recording.flush(loss=[1e300, -1e300, float("inf")])
    header, [(_, y)] = decode(RunReader(recording.run).packet())
    largest = np.finfo(np.float32).max
    assert y.tolist() == [largest, -largest, np.inf]
    assert header["series"][0]["max"] == [0, 1e300]


def test_values_come_back_as_logged_and_unknown_names_are_answered_with_the_known(tmp_path):
    recording = Recording(tmp_path / "run")
    recording.flush(loss=[0.1, 0.2, 0.3], acc=[0.5])
    recording.flush(loss=[0.4])
    reader = RunReader(recording.run)
    assert reader.names() == ["loss", "acc"]
    steps, values = reader.values("loss")
    assert (steps.tolist(), values.tolist()) == ([0, 1, 2, 3], [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(InvalidValueError, match="loss, acc"):
        reader.values("los")


def test_irregular_steps_come_back_as_logged(tmp_path):
    from lit_studio.base.events import MetricsLogged, Points

    recording = Recording(tmp_path / "run")
    odd = [3, 4, 9, 9, 100]
    recording.recorder.observe(MetricsLogged(recording.now, 0, (Points("loss", odd, [1.0] * 5),)))
    recording.recorder.observe(MetricsLogged(recording.now, 0, (Points("loss", [200, 300, 400], [2.0] * 3),)))
    assert RunReader(recording.run).values("loss")[0].tolist() == [*odd, 200, 300, 400]


def test_the_sparkline_is_the_headline_series_then_a_loss_then_the_first(tmp_path):
    recording = Recording(tmp_path / "run")
    reader = RunReader(recording.run)
    assert reader.sparkline() == []
    recording.flush(other=[7.0])
    assert reader.sparkline() == [7.0]
    recording.flush(train_loss=[float("nan"), 5.0, 6.0])
    assert reader.sparkline() == [5.0, 6.0]
    recording.flush(acc=np.linspace(0, 1, 1000).tolist(), prog_bar=("acc",))
    line = reader.sparkline(40)
    assert len(line) == 40
    assert line == sorted(line)
    assert line[0] == pytest.approx(np.linspace(0, 1, 1000)[:25].mean())


def test_a_torn_tail_waits_and_is_read_once_whole(tmp_path):
    recording = Recording(tmp_path / "run")
    recording.flush(loss=[1.0])
    whole = recording.run.metrics_log.read_bytes()
    recording.flush(loss=[2.0])
    longer = recording.run.metrics_log.read_bytes()
    reader = RunReader(recording.run)
    for cut in range(len(whole), len(longer)):
        recording.run.metrics_log.write_bytes(longer[:cut])
        assert reader.values("loss")[1].tolist() == [1.0]
    recording.run.metrics_log.write_bytes(longer)
    assert reader.values("loss")[1].tolist() == [1.0, 2.0]


def test_a_cut_log_is_read_again_and_the_screen_follows(tmp_path):
    recording = Recording(tmp_path / "run")
    recording.flush(loss=[1.0] * 10)
    shorter = recording.run.metrics_log.read_bytes()
    recording.flush(loss=[2.0] * 10)
    client = Client(RunReader(recording.run))
    client.poll()
    os.truncate(recording.run.metrics_log, len(shorter))
    client.poll()
    assert client.shown[0][2].tolist() == [1.0] * 10
    client.assert_equals_full()


def test_a_replaced_record_is_another_run_and_a_removed_one_is_gone(tmp_path):
    recording = Recording(tmp_path / "run")
    recording.flush(loss=[1.0])
    reader = RunReader(recording.run)
    reader.refresh()
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(RunNotFoundError, match="gone"):
        reader.packet()
    Recording(tmp_path / "run").flush(loss=[2.0])
    with pytest.raises(RunNotFoundError, match="Another run"):
        reader.packet()
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(RunNotFoundError, match="gone"):
        reader.values("loss")


def test_a_run_that_another_process_goes_on_with_is_judged_by_that_process(tmp_path):
    import json

    recording = Recording(tmp_path / "run")
    recording.flush(loss=[1.0])
    file = recording.run.record / "run.json"
    mine = file.read_text()
    file.write_text(json.dumps({**json.loads(mine), "pid": 2**22 + 1, "process_started": 1.0}))
    reader = RunReader(RunDirectory.open(tmp_path / "run"))
    assert decode(reader.packet())[0]["status"]["state"] == "lost"
    file.with_suffix(".new").write_text(mine)
    file.with_suffix(".new").replace(file)
    assert decode(reader.packet())[0]["status"]["state"] == "running"


def test_whoever_sees_the_end_has_seen_everything(tmp_path):
    """The status must not run ahead of the points: a screen stops asking when it says that the run has ended."""
    for attempt in range(20):
        recording = Recording(tmp_path / f"run{attempt}")
        client = Client(RunReader(recording.run), width=8192)

        def write(recording=recording):
            for _ in range(20):
                recording.flush(loss=[1.0] * 10)
            recording.end()

        writer = threading.Thread(target=write)
        writer.start()
        while client.header.get("status", {}).get("state") != "finished":
            client.poll()
        assert len(client.shown[0][1]) == 200
        assert client.events[-1]["event"] == "RunEnded"
        writer.join()


def test_several_threads_may_ask_at_once(tmp_path):
    recording = Recording(tmp_path / "run")
    reader = RunReader(recording.run)
    done, failures = threading.Event(), []

    def ask():
        client = Client(reader)
        try:
            while not done.is_set():
                client.poll()
            client.poll()
            client.assert_equals_full()
        except BaseException as error:
            failures.append(error)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for _ in range(300):
        recording.flush(loss=[1.0] * 7, acc=[2.0])
    done.set()
    for asker in askers:
        asker.join()
    assert failures == []


def test_a_run_without_any_log_yet_is_empty_not_an_error(tmp_path):
    reader = RunReader(RunDirectory.create(tmp_path / "run"))
    header, arrays = decode(reader.packet())
    assert (header["series"], header["events"], header["events_next"], arrays) == ([], [], 0, [])
    assert header["status"]["state"] == "created"
    RunRecorder(reader.run).close()
    assert reader.names() == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"width": 63}, "64 to 8192"),
        ({"width": 8193}, "64 to 8192"),
        ({"width": True}, "64 to 8192"),
        ({"axis": "wall"}, "step, epoch, time, active, samples"),
        ({"events": -1}, "0 or more"),
        ({"have": "0:1"}, "id:stride:buckets"),
        ({"have": "0:1:2,"}, "id:stride:buckets"),
        ({"have": "0:1:-2"}, "id:stride:buckets"),
        ({"x0": 1.0}, "both x0 and x1"),
        ({"x0": 2.0, "x1": 1.0}, "x0 < x1"),
        ({"x0": 0.0, "x1": float("inf")}, "finite"),
    ],
)
def test_a_bad_question_is_answered_with_what_would_be_valid(query, said, tmp_path):
    reader = RunReader(RunDirectory.create(tmp_path / "run"))
    with pytest.raises(InvalidValueError, match=said):
        reader.packet(**query)


@pytest.mark.parametrize("have", ["0:1:999", "0:3:1", "7:1:5", "0:2:1", "0:1:0"])
def test_a_client_that_holds_something_else_is_sent_everything(have, tmp_path):
    recording = Recording(tmp_path / "run")
    recording.flush(loss=[1.0] * 10)
    header, [(x, _)] = decode(RunReader(recording.run).packet(have=have))
    assert header["series"][0]["start"] == 0
    assert len(x) == 10
