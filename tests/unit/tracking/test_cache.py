"""The server's readers stay within their bounds, and a dropped one is read again."""

from __future__ import annotations

import shutil

import pytest

from lit_studio.base.errors import RunNotFoundError
from lit_studio.tracking import ReaderCache
from tests.unit.tracking.recording import Recording


def test_a_reader_is_kept_and_the_one_used_longest_ago_is_dropped_first(tmp_path):
    cache = ReaderCache(readers=2)
    runs = [Recording(tmp_path / str(i)).run for i in range(3)]
    readers = [cache.get(run) for run in runs[:2]]
    assert cache.get(runs[0]) is readers[0]
    cache.get(runs[2])
    assert len(cache) == 2
    assert cache.get(runs[0]) is readers[0]
    assert cache.get(runs[1]) is not readers[1]


def test_memory_is_bounded_and_the_last_reader_stays_however_large(tmp_path):
    cache = ReaderCache(nbytes=500_000)
    recordings = [Recording(tmp_path / str(i)) for i in range(3)]
    for recording in recordings:
        recording.flush(loss=[1.0] * 20_000)
        cache.get(recording.run).refresh()
    last = cache.get(recordings[2].run)
    assert len(cache) == 1
    recordings[2].flush(loss=[1.0] * 40_000)
    last.refresh()
    assert last.nbytes > 500_000
    assert cache.get(recordings[2].run) is last


def test_a_run_recreated_in_place_gets_a_reader_of_its_own(tmp_path):
    cache = ReaderCache()
    before = Recording(tmp_path / "run")
    before.flush(loss=[1.0])
    assert cache.sparkline(before.run) == [1.0]
    shutil.rmtree(tmp_path / "run")
    after = Recording(tmp_path / "run")
    after.flush(loss=[2.0])
    assert cache.sparkline(after.run) == [2.0]
    with pytest.raises(RunNotFoundError):
        cache.get(before.run).packet()


def test_a_sparkline_is_read_once_until_the_run_grows(tmp_path, monkeypatch):
    cache = ReaderCache()
    recording = Recording(tmp_path / "run")
    assert cache.sparkline(recording.run) == []
    recording.flush(loss=[1.0, 2.0])
    assert cache.sparkline(recording.run) == [1.0, 2.0]
    monkeypatch.setattr(cache, "get", None)  # looked up again it would fail
    assert cache.sparkline(recording.run) == [1.0, 2.0]
    monkeypatch.undo()
    recording.flush(loss=[3.0])
    assert cache.sparkline(recording.run) == [1.0, 2.0, 3.0]
