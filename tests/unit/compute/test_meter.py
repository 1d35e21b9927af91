"""CPU and memory of process trees and of the host, compared with what the processes are known to do."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from lit_studio.compute import Meter
from lit_studio.compute.host import read_memory
from lit_studio.compute.processes import ProcessTrees

MIB = 1024 * 1024
# A parent that waits, whose child works for as long as it is told to and then holds 60 MiB.
TREE = """
import subprocess, sys
child = "import time; end = time.process_time() + {work}\\nwhile time.process_time() < end: pass\\n" \\
        "held = b'x' * (60 << 20); print('ready', flush=True); input()"
process = subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE)
input()
process.communicate(b"\\n")
"""


@pytest.fixture
def tree():
    """Starts a tree whose child has worked for ``work`` seconds."""
    started = []

    def start(work: float) -> subprocess.Popen:
        script = TREE.replace("{work}", str(work))
        process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        return process

    yield start
    for process in started:
        process.communicate(b"\n")


def test_a_tree_counts_its_childs_memory_and_cpu(tree):
    meter = Meter(fresh=0)
    process = tree(work=0.5)
    first = meter.read([process.pid]).processes[process.pid]
    assert first.cpu_percent is None
    begun = time.monotonic()
    assert process.stdout.readline() == b"ready\n"
    second = meter.read([process.pid]).processes[process.pid]
    worked = second.cpu_percent / 100 * (time.monotonic() - begun)
    assert 0.35 < worked < 1.2  # half a second of work, some of it before the first look, and two starts of Python
    assert second.memory > first.memory + 50 * MIB
    assert abs(second.started - time.time()) < 60


def test_an_idle_tree_uses_nothing(tree):
    meter = Meter(fresh=0)
    process = tree(work=0)
    assert process.stdout.readline() == b"ready\n"
    meter.read([process.pid])
    time.sleep(0.3)
    assert meter.read([process.pid]).processes[process.pid].cpu_percent < 10


def test_a_child_that_ends_does_not_make_the_sum_negative(tree):
    trees = ProcessTrees()
    process = tree(work=0.3)
    assert process.stdout.readline() == b"ready\n"
    use, members = trees.look([process.pid])[process.pid]
    assert len(members) == 2
    psutil.Process(members[1]).kill()
    time.sleep(0.1)
    use, members = trees.look([process.pid])[process.pid]
    assert use.cpu_percent >= 0


def test_grandchildren_belong_to_the_tree(tree):
    process = tree(work=0)
    assert process.stdout.readline() == b"ready\n"
    _, members = ProcessTrees().look([os.getpid()])[os.getpid()]
    expected = {child.pid for child in psutil.Process().children(recursive=True)} | {os.getpid()}
    assert set(members) == expected
    assert len(expected) >= 3


def test_the_walk_over_all_processes_gives_the_same_tree(tree, monkeypatch):
    monkeypatch.setattr("lit_studio.compute.processes._children_from_proc", lambda pid: None)
    process = tree(work=0)
    assert process.stdout.readline() == b"ready\n"
    _, members = ProcessTrees().look([process.pid])[process.pid]
    assert len(members) == 2


def test_a_dead_process_is_left_out(tree):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert Meter().read([process.pid, os.getpid()]).processes.keys() == {os.getpid()}


def test_a_reading_is_shared_for_a_while_and_taken_anew_for_an_unknown_process(tree):
    meter = Meter(fresh=30)
    first = meter.read([os.getpid()])
    assert meter.read([os.getpid()]) is first
    assert meter.read() is first
    process = tree(work=0)
    assert process.pid in meter.read([os.getpid(), process.pid]).processes


def test_a_reading_costs_under_ten_milliseconds_of_cpu():
    meter = Meter(fresh=0)
    meter.read([os.getpid()])
    costs = []
    for _ in range(20):
        before = time.process_time()
        meter.read([os.getpid()])
        costs.append(time.process_time() - before)
    assert sorted(costs)[10] < 0.010


def test_the_host_is_measured_between_two_readings():
    meter = Meter(fresh=0)
    first = meter.read()
    assert first.host.cpu_percent is None
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    second = meter.read()
    assert 0 < second.host.cpu_percent <= 100
    assert 0 < second.host.memory_used < second.host.memory_total
    assert second.devices[0].memory_total == second.host.memory_total
    assert "core" in second.devices[0].name


@pytest.mark.parametrize("version", [1, 2])
def test_a_containers_limit_counts_less_its_file_cache(version, tmp_path):
    names = {1: ("limit_in_bytes", "usage_in_bytes", "total_inactive_file"), 2: ("max", "current", "inactive_file")}
    limit, use, cache = names[version]
    folder = tmp_path / "memory" if version == 1 else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / f"memory.{limit}").write_text(f"{512 * MIB}\n")
    (folder / f"memory.{use}").write_text(f"{300 * MIB}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{cache} {100 * MIB}\n")
    assert read_memory(tmp_path) == (200 * MIB, 512 * MIB)


@pytest.mark.parametrize("limit", ["max", str(2**63 - 4096)])
def test_without_a_limit_the_machines_memory_counts(limit, tmp_path):
    (tmp_path / "memory.max").write_text(limit)
    assert read_memory(tmp_path)[1] == psutil.virtual_memory().total
