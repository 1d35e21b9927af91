"""A journal gives back what was written, whatever happened to its last bytes, and says when something is missing."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
import time

import pytest

from lit_studio.kernels import journal
from lit_studio.kernels.journal import MESSAGE, REQUEST, JournalReader, JournalWriter


def texts(records):
    return [record.parts[0].decode() for record in records]


def fill(folder, count, first=0, **options):
    writer = JournalWriter(folder, **options)
    for index in range(first, first + count):
        writer.append(MESSAGE, [f"{index}".encode(), b"", b"{}"])
    writer.close()


def test_what_is_written_is_read_in_order(tmp_path):
    writer = JournalWriter(tmp_path / "j")
    assert writer.append(MESSAGE, [b"header", b"", b"\x00" * 1000, memoryview(b"buffer")]) == 1
    assert writer.append(REQUEST, []) == 2
    one, two = journal.read(tmp_path / "j")
    assert (one.number, one.kind, one.parts) == (1, MESSAGE, [b"header", b"", b"\x00" * 1000, b"buffer"])
    assert (two.number, two.kind, two.parts) == (2, REQUEST, [])
    assert abs(time.time() - one.time) < 60
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o700
    assert journal.segments(tmp_path / "j")[0].stat().st_mode & 0o777 == 0o600


def test_numbers_go_on_through_segments_and_writers(tmp_path):
    fill(tmp_path, 50, segment_bytes=200)
    fill(tmp_path, 50, first=50, segment_bytes=200)
    found = list(journal.read(tmp_path))
    assert [record.number for record in found] == list(range(1, 101))
    assert texts(found) == [str(index) for index in range(100)]
    assert len(journal.segments(tmp_path)) > 10
    assert texts(journal.read(tmp_path, after=97)) == ["97", "98", "99"]
    assert journal.last_number(tmp_path) == 100


def test_many_parts_are_one_record(tmp_path):
    writer = JournalWriter(tmp_path)
    writer.append(MESSAGE, [bytes([index % 256]) for index in range(3000)])
    (record,) = journal.read(tmp_path)
    assert len(record.parts) == 3000
    assert record.parts[299] == bytes([299 % 256])


def test_a_reader_follows(tmp_path):
    reader = JournalReader(tmp_path / "later")
    assert list(reader.read()) == []
    writer = JournalWriter(tmp_path / "later", segment_bytes=300)
    seen = []
    for index in range(60):
        writer.append(MESSAGE, [f"{index}".encode()])
        if index % 7 == 0:
            seen += texts(reader.read())
    assert seen + texts(reader.read()) == [str(index) for index in range(60)]
    assert list(reader.read()) == []


@pytest.mark.parametrize("cut", range(1, 60, 3))
def test_a_torn_tail_is_passed_over_and_numbers_go_on(tmp_path, cut):
    fill(tmp_path, 10)
    (segment,) = journal.segments(tmp_path)
    segment.write_bytes(segment.read_bytes()[:-cut])
    kept = list(journal.read(tmp_path))
    assert texts(kept) == [str(index) for index in range(len(kept))]
    assert 8 <= len(kept) < 10
    fill(tmp_path, 5, first=100)
    after = list(journal.read(tmp_path))
    assert texts(after)[-5:] == [str(index) for index in range(100, 105)]
    assert [record.number for record in after] == list(range(1, len(kept) + 6))


def test_a_record_that_is_being_written_comes_with_the_next_read(tmp_path):
    fill(tmp_path, 3)
    (segment,) = journal.segments(tmp_path)
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-7])
    reader = JournalReader(tmp_path)
    assert texts(reader.read()) == ["0", "1"]
    segment.write_bytes(whole)
    assert texts(reader.read()) == ["2"]
    assert reader.damaged == 0


@pytest.mark.parametrize("seed", range(30))
def test_a_flipped_byte_costs_one_record_or_the_rest_of_its_segment_and_never_gives_a_wrong_one(tmp_path, seed):
    fill(tmp_path, 100, segment_bytes=1000)
    chance = random.Random(seed)
    segment = chance.choice(journal.segments(tmp_path))
    data = bytearray(segment.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    segment.write_bytes(data)
    found = texts(journal.read(tmp_path))
    assert found == sorted(set(found), key=int)
    assert set(found) <= {str(index) for index in range(100)}
    in_segment = 100 / len(journal.segments(tmp_path))
    assert len(found) >= 100 - in_segment - 10


def test_one_changed_content_costs_one_record(tmp_path):
    fill(tmp_path, 30)
    (segment,) = journal.segments(tmp_path)
    data = segment.read_bytes()
    segment.write_bytes(data.replace(b"17", b"71"))
    reader = JournalReader(tmp_path)
    assert texts(reader.read()) == [str(index) for index in range(30) if index != 17]
    assert reader.damaged == 1


def test_several_threads_write_whole_records(tmp_path):
    writer = JournalWriter(tmp_path, segment_bytes=20_000)
    threads = [
        threading.Thread(target=lambda name=name: [writer.append(MESSAGE, [name, b"x" * 500]) for _ in range(200)])
        for name in (b"a", b"b", b"c")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = list(journal.read(tmp_path))
    assert [record.number for record in found] == list(range(1, 601))
    assert all(record.parts[1] == b"x" * 500 for record in found)


def test_a_killed_writer_loses_nothing_that_it_returned_from(tmp_path):
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from lit_studio.kernels.journal import JournalWriter\n"
        "writer = JournalWriter(sys.argv[2], segment_bytes=50_000)\n"
        "while True:\n"
        "    print(writer.append(0, [b'x' * 300]), flush=True)\n"
    )
    root = os.fspath(journal.Path(journal.__file__).parents[2])
    child = subprocess.Popen([sys.executable, "-c", program, root, tmp_path], stdout=subprocess.PIPE, text=True)
    told = [child.stdout.readline() for _ in range(2000)]
    child.kill()
    told += child.stdout.read().splitlines()
    child.wait()
    child.stdout.close()
    last = int([line for line in told if line.strip()][-1])
    numbers = [record.number for record in journal.read(tmp_path)]
    assert numbers[: last - 1] == list(range(1, last))


def test_a_full_disk_costs_records_and_not_the_kernel(tmp_path, monkeypatch):
    writer = JournalWriter(tmp_path)
    writer.append(MESSAGE, [b"before"])
    writev = os.writev

    def full(file, pieces):
        writev(file, [b"".join(pieces)[:10]])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", full)
    assert writer.append(MESSAGE, [b"lost"]) == 2
    monkeypatch.setattr(os, "writev", writev)
    writer.append(MESSAGE, [b"after"])
    found = list(journal.read(tmp_path))
    assert texts(found) == ["before", "after"]
    assert [record.number for record in found] == [1, 3]
    assert (writer.lost, writer.error.errno) == (1, errno.ENOSPC)


def test_a_short_write_is_finished(tmp_path, monkeypatch):
    writer = JournalWriter(tmp_path)
    writev = os.writev
    monkeypatch.setattr(os, "writev", lambda file, pieces: writev(file, [b"".join(pieces)[:11]]))
    writer.append(MESSAGE, [b"whole", b"again"])
    (record,) = journal.read(tmp_path)
    assert record.parts == [b"whole", b"again"]


def test_a_forked_child_writes_nothing(tmp_path):
    writer = JournalWriter(tmp_path)
    child = os.fork()
    if child == 0:
        os._exit(0 if writer.append(MESSAGE, [b"child"]) == 0 else 1)
    assert os.waitpid(child, 0)[1] == 0
    writer.append(MESSAGE, [b"parent"])
    assert texts(journal.read(tmp_path)) == ["parent"]


def test_it_needs_nothing_but_the_standard_library():
    program = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('journal', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['journal'] = module\n"
        "spec.loader.exec_module(module)\n"
        "print(any(name.startswith(('lit_studio', 'jupyter', 'zmq')) for name in sys.modules))\n"
    )
    told = subprocess.run([sys.executable, "-S", "-c", program, journal.__file__], capture_output=True, text=True)
    assert told.stdout == "False\n", told.stderr
