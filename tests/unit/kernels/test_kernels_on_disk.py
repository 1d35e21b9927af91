"""What is written down about kernels is read again, whatever happened; how a kernel starts and when it is ended."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lit_studio.base.processes import process_start_time
from lit_studio.kernels import adoption, boot
from lit_studio.kernels.places import KernelPlace, all_places, kernels_home, sockets_home
from lit_studio.kernels.provisioner import through_boot
from lit_studio.kernels.state import (
    Execution,
    IdlePolicy,
    KernelSpec,
    KernelState,
    Owner,
    read_execution,
    read_owner,
    read_policy,
    read_spec,
    read_state,
    write,
)
from lit_studio.kernels.usage import read_usage, usage_file, write_usage
from lit_studio.kernels.waiting import WaitingList

DEAD = 2**22 + 1  # more than Linux gives


@pytest.fixture(autouse=True)
def jupyter_home(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def place():
    place = KernelPlace.of("0123-kernel")
    place.folder.mkdir()
    return place


def spec(**changes) -> KernelSpec:
    plain = KernelSpec("0123-kernel", "python3", ["python"], {"A": "b"}, "/", "/c.json", {"key": "secret"}, True)
    return replace(plain, **changes)


def mine(**changes) -> KernelState:
    """The state of a kernel whose process is this one."""
    pid = os.getpid()
    started = process_start_time(pid)
    return replace(KernelState("running", pid, started, pid, started, 1.0), **changes)


class TestFiles:
    def test_what_is_written_is_read(self, place):
        for path, record, read in (
            (place.spec, spec(root="/r"), read_spec),
            (place.state, mine(cull_at=5.0), read_state),
            (place.policy, IdlePolicy(10.0, awake_until=math.inf), read_policy),
            (place.owner, Owner(5, 6.0, True), read_owner),
            (place.execution, Execution("busy", "m", "c", 3, 4.0, 5), read_execution),
        ):
            write(path, record)
            assert read(path) == record
            assert path.stat().st_mode & 0o777 == 0o600
        left = sorted(path.name for path in place.folder.iterdir())
        assert left == ["execution", "owner.json", "policy.json", "spec.json", "state.json"], "no draft is left"

    @pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"unknown": 1}'])
    def test_damage_is_as_nothing(self, place, content):
        for path in (place.spec, place.policy, place.owner, place.execution):
            path.write_text(content)
        assert read_spec(place.spec) is None
        assert read_policy(place.policy) == IdlePolicy()
        assert read_owner(place.owner) == Owner()
        assert read_execution(place.execution) == Execution()

    def test_a_later_versions_fields_are_passed_over(self, place):
        place.owner.write_text('{"pid": 7, "colour": "red"}')
        assert read_owner(place.owner) == Owner(7)

    def test_folders_are_their_owners_alone(self):
        for folder in (kernels_home(), sockets_home()):
            folder.chmod(0o755)
        for folder in (kernels_home(), sockets_home()):
            assert folder.stat().st_mode & 0o777 == 0o700
        assert list(all_places()) == []


class TestLiveness:
    def test_a_number_that_was_given_again_is_another_process(self):
        assert mine().is_alive
        assert not replace(mine(), pid_started=1.0).is_alive
        assert not replace(mine(), status="exited").is_alive
        assert not KernelState("running", DEAD).is_alive
        assert mine().is_kept
        assert not replace(mine(), keeper_pid=DEAD).is_kept
        assert Owner.myself().is_alive
        assert not Owner().is_alive


class TestPolicy:
    now = 1000.0
    idle = Execution("idle", since=400.0)

    def test_by_default_nothing_is_ended(self):
        assert IdlePolicy().cull_at(self.idle, self.now) is None

    def test_idle_counts_from_the_end_of_the_last_cell(self):
        assert IdlePolicy(10.0).cull_at(self.idle, self.now) == 1000.0

    def test_a_running_cell_is_never_ended(self):
        assert IdlePolicy(10.0).cull_at(Execution("busy", since=1.0), 1e9) is None

    def test_awake(self):
        assert IdlePolicy(10.0, awake_until=1001.0).cull_at(self.idle, self.now) is None
        assert IdlePolicy(10.0, awake_until=math.inf).cull_at(self.idle, 1e12) is None
        assert IdlePolicy(10.0, awake_until=999.0).cull_at(self.idle, self.now) == 1000.0

    def test_pages_of_a_dead_server_count_for_nothing(self):
        me = Owner.myself()
        assert (
            IdlePolicy(10.0, connections=1, server_pid=me.pid, server_started=me.started).cull_at(self.idle, 1) is None
        )
        assert IdlePolicy(10.0, connections=1, server_pid=DEAD).cull_at(self.idle, 1) == 1000.0


class TestExecutionOfTheKernel:
    def test_any_cell_id_fits(self, place):
        told = boot.Execution(place.execution)
        assert read_execution(place.execution).state == "starting"
        for cell in ("c1", "é" * 100, "vscode-notebook-cell:/" + "x" * 600, "\u2028" * 5000):
            told.begin("m1", cell, 3, 7.0)
            found = read_execution(place.execution)
            assert (found.state, found.msg_id, found.count) == ("busy", "m1", 3)
            assert found.cell_id in (cell, "")
            told.end(8.0, 12)
            assert read_execution(place.execution).state == "idle"
            assert read_execution(place.execution).number == 12
        assert place.execution.stat().st_size == boot.EXECUTION_BYTES


class TestCommand:
    folder = Path("/k")

    @pytest.mark.parametrize(
        ("command", "options", "rest"),
        [
            ("python -m ipykernel_launcher -f c.json", [], ["-f", "c.json"]),
            (
                "/usr/bin/python3.12 -Xfrozen_modules=off -m ipykernel_launcher -f c",
                ["-Xfrozen_modules=off"],
                ["-f", "c"],
            ),
            ("python -X frozen_modules=off -m ipykernel -f c", ["-X", "frozen_modules=off"], ["-f", "c"]),
            ("python3 -E -m ipykernel_launcher --debug -f c", ["-E"], ["--debug", "-f", "c"]),
        ],
    )
    def test_an_ipykernel_starts_through_the_boot_file(self, command, options, rest):
        argv = command.split()
        assert through_boot(argv, self.folder) == [argv[0], *options, boot.__file__, "/k", *rest]

    @pytest.mark.parametrize(
        "command",
        [
            "R --slave -e IRkernel::main() --args c.json",
            "python -m bash_kernel -f c.json",
            "python kernel.py -m ipykernel_launcher",
            "python -c pass -m ipykernel_launcher",
            "julia -i kernel.jl c.json",
            "python -m",
            "python",
            "",
        ],
    )
    def test_another_kernel_starts_as_it_is(self, command):
        assert through_boot(command.split(), self.folder) is None


class TestOrphans:
    def orphan(self, name="k", root="/r", owner=None, **changes):
        place = KernelPlace.of(name)
        place.folder.mkdir()
        write(place.spec, spec(kernel_id=name, root=root))
        write(place.state, mine(**changes))
        write(place.owner, owner or Owner(DEAD))
        return place

    def taken(self, root="/r", known=()):
        return [kernel.place.kernel_id for kernel in adoption.take_orphans(root, set(known))]

    def test_each_is_taken_once(self):
        place = self.orphan()
        assert self.taken() == ["k"]
        assert read_owner(place.owner) == Owner.myself(adopted=True)
        assert self.taken() == []
        adoption.release(place)
        assert self.taken() == ["k"]

    def test_others_are_left_alone(self):
        self.orphan("elsewhere", root="/other")
        self.orphan("owned", owner=Owner.myself())
        self.orphan("dead", pid=DEAD)
        self.orphan("known")
        assert self.taken(known=["known"]) == []

    def test_a_connection_file_that_was_removed_is_written_again(self, tmp_path):
        place = self.orphan()
        write(place.spec, spec(connection_file=str(tmp_path / "c.json")))
        [kernel] = adoption.known_kernels()
        assert kernel.connection == {"key": "secret"}
        assert json.loads((tmp_path / "c.json").read_text()) == {"key": "secret"}
        assert (tmp_path / "c.json").stat().st_mode & 0o777 == 0o600

    def test_the_dead_are_remembered_for_a_week(self):
        now = time.time()
        for name, ended in (("young", now - 86400), ("old", now - 8 * 86400)):
            self.orphan(name, status="exited", ended=ended, keeper_pid=DEAD)
        self.orphan("living", started=now - 1e7)
        adoption.sweep(now)
        assert [place.kernel_id for place in all_places()] == ["living", "young"]


class TestQueue:
    def test_it_survives_its_server(self, place):
        waiting = WaitingList(place)
        for name in "abc":
            waiting.add(name, "s", f"cell-{name}")
        assert [one.msg_id for one in WaitingList(place).requests()] == ["a", "b", "c"]
        assert [one.msg_id for one in WaitingList(place, Execution("busy", "b")).requests()] == ["c"]

    def test_what_another_client_runs_says_nothing(self, place):
        WaitingList(place).add("a", "s", "")
        assert len(WaitingList(place, Execution("busy", "somebody else's"))) == 1

    def test_an_idle_kernel_has_no_queue(self, place):
        WaitingList(place).add("a", "s", "")
        assert len(WaitingList(place, Execution("idle", "z"))) == 0
        assert json.loads(place.waiting.read_text()) == []

    def test_begun_and_restarted(self, place):
        waiting = WaitingList(place)
        waiting.add("a", "s", "c")
        waiting.add("b", "s", "c")
        assert "a" in waiting
        assert waiting.remove("a")
        assert not waiting.remove("a")
        waiting.clear()
        assert json.loads(place.waiting.read_text()) == []

    def test_damage_is_an_empty_queue(self, place):
        place.waiting.write_text('[{"no": 1}]')
        assert len(WaitingList(place)) == 0


def test_usage_is_a_line_a_kernel(place):
    for number in range(3):
        write_usage(spec(environment={"CUDA_VISIBLE_DEVICES": "0"}), mine(ended=2.0, exit_code=number), 4096)
    with usage_file().open("a") as file:
        file.write('{"torn')
    records = list(read_usage())
    assert [record["exit_code"] for record in records] == [0, 1, 2]
    assert (records[0]["devices"], records[0]["peak_memory"]) == ("0", 4096)
    assert usage_file().stat().st_mode & 0o777 == 0o600
