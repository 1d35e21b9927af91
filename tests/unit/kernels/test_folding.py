"""A journal stays small however long its kernel runs, and reads the same after it was folded, whenever that stopped."""

from __future__ import annotations

import fcntl
import json
import os

import pytest

from lit_studio.kernels import folding, journal
from lit_studio.kernels.folding import fold
from lit_studio.kernels.journal import FOLDED, JournalReader, JournalWriter
from lit_studio.kernels.reducer import Reducer
from tests.unit.kernels.wire import Wire


def write(folder, records, **options):
    writer = JournalWriter(folder, **options)
    for record in records:
        writer.append(record.kind, record.parts)
    writer.close()


def outcome(folder):
    reducer = Reducer()
    for record in journal.read(folder):
        reducer.feed(record)
    return [
        (one.msg_id, one.cell_id, one.state, one.source, one.execution_count, one.outputs) for one in reducer.requests()
    ]


def size(folder):
    return sum(path.stat().st_size for path in journal.segments(folder))


@pytest.fixture
def wire():
    made = Wire()
    for number in range(30):
        made.run(f"r{number}", f"print({number})", f"c{number}", f"{number}\n", "more\n")
    return made


def test_what_is_folded_reads_the_same(tmp_path, wire):
    write(tmp_path, wire.records, segment_bytes=3000)
    before, last = outcome(tmp_path), journal.last_number(tmp_path)
    assert fold(tmp_path, 10_000)
    assert outcome(tmp_path) == before
    assert len(journal.segments(tmp_path)) == 2
    assert journal.last_number(tmp_path) == last
    assert next(journal.read(tmp_path)).kind == FOLDED
    assert journal.segments(tmp_path)[0].stat().st_mode & 0o777 == 0o600
    assert not fold(tmp_path, 100), "there is nothing left to fold"


def test_a_journal_within_its_quota_stays_as_it_is(tmp_path, wire):
    write(tmp_path, wire.records, segment_bytes=3000)
    names = journal.segments(tmp_path)
    assert not fold(tmp_path, size(tmp_path))
    assert journal.segments(tmp_path) == names


def test_a_week_of_a_progress_bar_stays_small(tmp_path):
    """A bar that is drawn again and again, a display that is updated again and again."""
    wire = Wire()
    wire.begin("bar", "for _ in tqdm(…): …", "c1")
    wire.publish("display_data", "bar", data={"text/plain": "0"}, metadata={}, transient={"display_id": "d"})
    peak, writer = 0, JournalWriter(tmp_path, segment_bytes=200_000)
    for record in wire.records:
        writer.append(record.kind, record.parts)
    for tick in range(8000):
        bar = f"\r{tick // 80:3d}%|{'█' * (tick // 800):10s}| {tick}/8000 [00:00<00:00, 9.99it/s]"
        records = wire.publish("stream", "bar", name="stderr", text=bar)
        plain = {"text/plain": str(tick)}
        records += wire.publish("update_display_data", "bar", data=plain, metadata={}, transient={"display_id": "d"})
        for record in records:
            writer.append(record.kind, record.parts)
        if tick % 500 == 0:
            fold(tmp_path, 500_000)
            peak = max(peak, size(tmp_path))
        wire.records.clear()
    fold(tmp_path, 0)
    assert peak < 2_000_000, "of 6 MB"
    folded = json.loads(next(journal.read(tmp_path)).parts[0])
    del folded["recent"]  # of 30 seconds, which were much longer here than they are
    assert len(json.dumps(folded)) < 20_000
    reducer = Reducer()
    for record in journal.read(tmp_path):
        reducer.feed(record)
    texts = json.dumps([one.outputs for one in reducer.requests()])
    assert "7999/8000" in texts
    assert "7998/8000" not in texts
    writer.close()


def test_a_crash_in_the_middle_loses_and_doubles_nothing(tmp_path, wire, monkeypatch):
    write(tmp_path, wire.records, segment_bytes=3000)
    before = outcome(tmp_path)

    def crash(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(folding, "sync_folder", crash)
    with pytest.raises(KeyboardInterrupt):
        fold(tmp_path, 0)
    assert len(journal.segments(tmp_path)) > 2, "the older ones are still there"
    assert outcome(tmp_path) == before
    monkeypatch.undo()
    assert fold(tmp_path, 0)
    assert outcome(tmp_path) == before


def test_a_kernel_that_is_started_again_goes_on_behind_what_is_folded(tmp_path, wire):
    write(tmp_path, wire.records, segment_bytes=3000)
    last = journal.last_number(tmp_path)
    fold(tmp_path, 0)
    first = len(wire.records)
    wire.run("again", "1", "c99", "once more\n")
    write(tmp_path, wire.records[first:])
    assert journal.last_number(tmp_path) == last + len(wire.records) - first
    assert outcome(tmp_path)[-1][0] == "again"
    assert len(outcome(tmp_path)) == 31


@pytest.mark.parametrize("read_before", [0, 5, 40, 100, 10_000])
def test_a_reader_that_follows_goes_on_across_a_fold(tmp_path, wire, read_before):
    write(tmp_path, wire.records, segment_bytes=3000)
    before = outcome(tmp_path)
    reader, reducer = JournalReader(tmp_path), Reducer()
    records = reader.read()
    for _ in range(read_before):
        if (record := next(records, None)) is not None:
            reducer.feed(record)
    records.close()
    fold(tmp_path, 0)
    for record in reader.read():
        reducer.feed(record)
    found = reducer.requests()
    assert [one.msg_id for one in found] == [each[0] for each in before]
    assert [one.outputs for one in found] == [each[5] for each in before]
    assert reader.damaged == 0


def test_two_keepers_do_not_fold_at_once(tmp_path, wire, monkeypatch):
    write(tmp_path, wire.records, segment_bytes=3000)
    names = journal.segments(tmp_path)
    monkeypatch.setattr("sys.argv", ["folding", str(tmp_path), "0"])
    monkeypatch.setattr(os, "nice", lambda by: by)
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert folding.main() == 0
    assert journal.segments(tmp_path) == names
    os.close(held)
    assert folding.main() == 0
    assert len(journal.segments(tmp_path)) == 2
