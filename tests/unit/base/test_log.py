"""The block file: what a reader sees while it is written, torn or damaged."""

from __future__ import annotations

import os
import random
import resource
import signal
import struct
import subprocess
import sys
import time
from array import array

import pytest

from lit_studio.base.runs.log import (
    EVENT,
    POINTS,
    BlockWriter,
    decode_points,
    encode_points,
    read_blocks,
)


def payloads(path):
    return [bytes(block.payload) for block in read_blocks(path)[0]]


def test_reads_what_was_written_and_goes_on_from_an_offset(tmp_path):
    path = tmp_path / "log"
    assert read_blocks(path) == ([], 0)
    writer = BlockWriter(path)
    writer.append((EVENT, b"one"), (EVENT, b"two"))
    blocks, offset = read_blocks(path)
    assert [bytes(b.payload) for b in blocks] == [b"one", b"two"]
    writer.append((EVENT, b""))
    more, end = read_blocks(path, offset)
    assert [(b.kind, bytes(b.payload)) for b in more] == [(EVENT, b"")]
    assert end == path.stat().st_size
    writer.close()


def test_every_cut_keeps_the_blocks_before_it(tmp_path):
    path = tmp_path / "log"
    writer = BlockWriter(path)
    ends = []
    for i in range(5):
        writer.append((EVENT, bytes([i]) * (i * 7)))
        ends.append(path.stat().st_size)
    writer.close()
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        assert len(payloads(path)) == sum(end <= cut for end in ends)


def test_a_flipped_bit_ends_the_list(tmp_path):
    path = tmp_path / "log"
    writer = BlockWriter(path)
    for i in range(20):
        writer.append((EVENT, f"payload number {i}".encode()))
    writer.close()
    whole = path.read_bytes()
    rng = random.Random(1)
    for _ in range(200):
        at = rng.randrange(len(whole))
        damaged = bytearray(whole)
        damaged[at] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        got = payloads(path)
        # Padding and the kind are outside the checksum; the payloads that are returned must be intact.
        assert got == [f"payload number {i}".encode() for i in range(len(got))]


def test_a_writer_cuts_a_torn_tail_before_it_appends(tmp_path):
    path = tmp_path / "log"
    writer = BlockWriter(path)
    writer.append((EVENT, b"kept"))
    writer.append((EVENT, b"torn off"))
    writer.close()
    os.truncate(path, path.stat().st_size - 3)
    again = BlockWriter(path)
    again.append((EVENT, b"after"))
    again.close()
    assert payloads(path) == [b"kept", b"after"]


def test_a_killed_writer_leaves_a_readable_file(tmp_path):
    path = tmp_path / "log"
    code = (
        "import sys, itertools; from pathlib import Path\n"
        "from lit_studio.base.runs.log import BlockWriter\n"
        "w = BlockWriter(Path(sys.argv[1]))\n"
        "for i in itertools.count(): w.append((3, i.to_bytes(8, 'little') * 50))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)])
    deadline = time.monotonic() + 30
    while not (path.exists() and path.stat().st_size > 50_000):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    got = payloads(path)
    assert len(got) > 100
    assert got == [i.to_bytes(8, "little") * 50 for i in range(len(got))]


def test_a_full_disk_raises_and_leaves_only_whole_blocks(tmp_path):
    path = tmp_path / "log"
    code = (
        "import sys, resource, signal; from pathlib import Path\n"
        "from lit_studio.base.runs.log import BlockWriter\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "w = BlockWriter(Path(sys.argv[1]))\n"
        "try:\n"
        "    for i in range(100): w.append((3, bytes(999)))\n"
        "except OSError as error: print('OSError', error.errno)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("OSError")
    assert payloads(path) == [bytes(999)] * 9
    assert path.stat().st_size == read_blocks(path)[1]


@pytest.mark.parametrize("steps", [[7], [0, 1, 2, 3], [10, 20, 30], [5, 5, 5], [0, 1, 5, 6], range(3, 30, 3)])
def test_points_come_back(steps):
    values = [float(step) / 3 for step in steps]
    block = decode_points(memoryview(encode_points(12.5, 3.25, 640, 2, [(4, steps, values), (9, [1], [float("nan")])])))
    assert (block.time, block.active, block.samples, block.epoch) == (12.5, 3.25, 640, 2)
    chunk = block.chunks[0]
    assert chunk.series == 4
    assert array("d", bytes(chunk.values)).tolist() == values
    if chunk.steps is None:
        assert [chunk.first + i * chunk.stride for i in range(chunk.count)] == list(steps)
    else:
        assert array("q", bytes(chunk.steps)).tolist() == list(steps)
    assert struct.unpack("<d", block.chunks[1].values)[0] != struct.unpack("<d", block.chunks[1].values)[0]


def test_regular_steps_take_no_room():
    regular = encode_points(0, 0, 0, 0, [(0, range(1000), [0.0] * 1000)])
    irregular = encode_points(0, 0, 0, 0, [(0, [0, *range(2, 1001)], [0.0] * 1000)])
    assert len(irregular) - len(regular) == 8000


def test_cut_points_are_refused():
    whole = encode_points(0, 0, 0, 0, [(0, [1, 2, 9], [1.0, 2.0, 3.0])])
    for cut in range(len(whole)):
        with pytest.raises(ValueError, match="POINTS block"):
            decode_points(memoryview(whole[:cut]))


def test_kinds_are_kept(tmp_path):
    writer = BlockWriter(tmp_path / "log")
    writer.append((POINTS, b"p"), (EVENT, b"e"))
    writer.close()
    assert [block.kind for block in read_blocks(tmp_path / "log")[0]] == [POINTS, EVENT]


def test_a_block_that_no_reader_accepts_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("lit_studio.base.runs.log.MAX_PAYLOAD", 1000)
    path = tmp_path / "log"
    writer = BlockWriter(path)
    writer.append((3, bytes(1000)))
    with pytest.raises(ValueError, match="1001 bytes"):
        writer.append((3, b"small"), (3, bytes(1001)))
    writer.append((3, b"after"))
    writer.close()
    assert payloads(path) == [bytes(1000), b"after"]
