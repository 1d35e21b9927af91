"""Run directories, the status machine, the inbox and the recorder."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from lit_studio.base import events
from lit_studio.base.errors import InvalidStateError, InvalidValueError, RunNotFoundError, RunRecordError
from lit_studio.base.runs import (
    Command,
    Inbox,
    RunDirectory,
    RunRecorder,
    RunStatus,
    find_run,
    list_runs,
    read_blocks,
    send_command,
    temporary_run_root,
)
from lit_studio.base.runs.log import EVENT, POINTS, SERIES, START, decode_points
from lit_studio.base.settings import data_home


@pytest.fixture
def record(tmp_path):
    """Make recorders that are closed at the end."""
    made = []

    def make(run=None):
        made.append(RunRecorder(run or RunDirectory.create(tmp_path)))
        return made[-1]

    yield make
    for recorder in made:
        recorder.close()  # closing twice is allowed


def start(recorder, **changes):
    defaults = {"stage": "train", "max_epochs": 2, "max_steps": -1}
    recorder.observe(events.RunStarted(time.time(), **{**defaults, **changes}))


def progress(recorder, at, step, active, stage="train", **changes):
    fields = {"epoch": 0, "batch": step, "batches": 100, "planned_steps": 200, "samples": step * 32}
    recorder.observe(events.Progressed(at, stage, step, active=active, **{**fields, **changes}))


class TestDirectory:
    def test_open_gives_back_what_create_wrote(self, tmp_path, monkeypatch):
        monkeypatch.setenv("JPY_SESSION_NAME", "work/train.ipynb")
        made = RunDirectory.create(tmp_path / "version_0", packages={"torch": "2.13.0"})
        again = RunDirectory.open(tmp_path / "version_0")
        assert again.info == made.info
        assert again.info.notebook == "work/train.ipynb"
        assert again.info.pid == os.getpid()
        assert again.status() == RunStatus()

    def test_a_second_start_in_the_same_place_keeps_the_id(self, tmp_path):
        first = RunDirectory.create(tmp_path, packages={"torch": "2.13.0"})
        second = RunDirectory.create(tmp_path)
        assert second.info.id == first.info.id
        assert second.info.packages == {"torch": "2.13.0"}
        assert len(list_runs()) == 1

    def test_a_copied_directory_is_a_run(self, tmp_path):
        run = RunDirectory.create(tmp_path / "version_0")
        run.path.rename(tmp_path / "elsewhere")
        assert RunDirectory.open(tmp_path / "elsewhere").info.id == run.info.id

    def test_no_run_here(self, tmp_path):
        with pytest.raises(RunNotFoundError, match=r"run\.json does not exist"):
            RunDirectory.open(tmp_path)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"id": 3}', "\x00\x01"])
    def test_a_damaged_record_is_refused(self, tmp_path, text):
        run = RunDirectory.create(tmp_path)
        (run.record / "run.json").write_text(text)
        with pytest.raises(RunRecordError, match=r"run\.json can't be read"):
            RunDirectory.open(tmp_path)

    def test_a_newer_format_says_so(self, tmp_path):
        run = RunDirectory.create(tmp_path)
        file = run.record / "run.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
        with pytest.raises(RunRecordError, match="newer Lit Studio; got 99"):
            RunDirectory.open(tmp_path)

    def test_found_by_id_and_by_prefix(self, tmp_path):
        run = RunDirectory.create(tmp_path / "a")
        assert find_run(run.info.id).path == run.path
        assert find_run(run.info.id[:5]).path == run.path

    @pytest.mark.parametrize("bad", ["", "abc", "../../etc", "zzzzzzzz", "123456789", "abcd*"])
    def test_what_is_no_id_is_refused(self, bad):
        with pytest.raises(InvalidValueError, match="no run id"):
            find_run(bad)

    def test_unknown_ids_and_ambiguous_prefixes(self, tmp_path, monkeypatch):
        with pytest.raises(RunNotFoundError, match="runs list"):
            find_run("0123abcd")
        for name in ("a", "b"):
            record = RunDirectory.create(tmp_path / name).record / "run.json"
            content = json.loads(record.read_text())
            pointer = data_home() / "runs" / f"{content['id']}.json"
            content["id"] = f"feed000{name}"
            record.write_text(json.dumps(content))
            pointer.rename(pointer.with_name(f"feed000{name}.json"))
        with pytest.raises(InvalidValueError, match="fits several runs"):
            find_run("feed")

    def test_the_list_is_newest_first_and_forgets_what_is_gone(self, tmp_path):
        runs = []
        for i in range(4):
            runs.append(RunDirectory.create(tmp_path / f"version_{i}"))
            time.sleep(0.002)
        (runs[1].record / "run.json").unlink()
        assert [run.info.id for run in list_runs()] == [runs[i].info.id for i in (3, 2, 0)]
        assert not (data_home() / "runs" / f"{runs[1].info.id}.json").exists()
        assert [run.info.id for run in list_runs(limit=1)] == [runs[3].info.id]

    def test_a_read_only_home_does_not_end_a_run(self, tmp_path, monkeypatch):
        blocked = tmp_path / "file"
        blocked.write_text("")
        monkeypatch.setenv("LIT_STUDIO_HOME", str(blocked))
        assert RunDirectory.open(RunDirectory.create(tmp_path / "run").path)

    def test_temporary_roots_differ_and_are_private(self):
        first, second = temporary_run_root(), temporary_run_root()
        assert first != second
        assert first.stat().st_mode & 0o077 == 0


class TestStatus:
    def test_the_machine_refuses_impossible_ways(self):
        running = RunStatus().follow("running")
        assert running.follow("paused").follow("running").follow("finished").follow("running").state == "running"
        with pytest.raises(InvalidStateError, match="from 'finished' to 'paused'; expected running"):
            running.follow("finished").follow("paused")
        with pytest.raises(InvalidStateError):
            RunStatus().follow("finished")

    def test_a_killed_process_makes_its_run_lost(self, tmp_path):
        code = (
            "import sys, time; from lit_studio.base.runs import *; from lit_studio.base.events import *\n"
            "recorder = RunRecorder(RunDirectory.create(sys.argv[1]))\n"
            "recorder.observe(RunStarted(time.time(), 'train', 1, -1)); print('ready', flush=True); time.sleep(60)"
        )
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        run = RunDirectory.open(tmp_path)
        assert run.status().state == "running"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert run.status().state == "lost"
        assert json.loads(run.status_file.read_text())["state"] == "running"

    def test_a_reused_pid_is_not_the_process(self, tmp_path, record):
        run = RunDirectory.create(tmp_path)
        start(record(run))
        record = json.loads((run.record / "run.json").read_text())
        if not record["process_started"]:
            pytest.skip("this system has no /proc to tell one process from another")
        record["process_started"] -= 1
        (run.record / "run.json").write_text(json.dumps(record))
        assert RunDirectory.open(tmp_path).status().state == "lost"

    def test_another_host_is_lost_only_after_a_long_silence(self, tmp_path, record):
        run = RunDirectory.create(tmp_path)
        recorder = record(run)
        start(recorder)
        file = run.record / "run.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "host": socket.gethostname() + "-not", "pid": 1}))
        assert RunDirectory.open(tmp_path).status().state == "running"
        status = json.loads(run.status_file.read_text())
        run.status_file.write_text(json.dumps({**status, "updated": time.time() - 3600}))
        assert RunDirectory.open(tmp_path).status().state == "lost"

    def test_a_damaged_status_is_an_error_and_an_unknown_field_is_not(self, tmp_path):
        run = RunDirectory.create(tmp_path)
        run.status_file.write_text('{"state": "finished", "from_the_future": 1}')
        assert run.status().state == "finished"
        run.status_file.write_text("{")
        with pytest.raises(RunRecordError):
            run.status()


class TestInbox:
    def test_commands_come_once_and_in_order(self, tmp_path):
        inbox = Inbox(tmp_path)
        assert inbox.poll() == []
        sent = [send_command(tmp_path, Command("set_lr", {"value": 0.1 / (i + 1)}, who="ada")) for i in range(5)]
        got = inbox.poll()
        assert [command.id for command in got] == sent
        assert got[0].who == "ada"
        assert inbox.poll() == []
        assert list(tmp_path.iterdir()) == []

    def test_none_is_lost_and_none_comes_twice_under_load(self, tmp_path):
        inbox, sent, got = Inbox(tmp_path), [], []

        def send():
            sent.extend(send_command(tmp_path, Command("save")) for _ in range(200))

        threads = [threading.Thread(target=send) for _ in range(3)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 30
        while any(thread.is_alive() for thread in threads) or len(got) < 600:
            got += [command.id for command in inbox.poll()]
            assert time.monotonic() < deadline, f"{len(got)} of 600"
        assert sorted(got) == sorted(sent)

    def test_commands_from_before_are_void(self, tmp_path):
        send_command(tmp_path, Command("stop"))
        assert Inbox(tmp_path).poll() == []

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "explode"}', '{"name": "stop", "who": 1, "x": 2}'])
    def test_rubbish_is_removed(self, tmp_path, text):
        inbox = Inbox(tmp_path)
        (tmp_path / "0-rubbish.json").write_text(text)
        send_command(tmp_path, Command("pause"))
        assert [command.name for command in inbox.poll()] == ["pause"]
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("value", [None, -1, math.nan, math.inf, "0.1", True])
    def test_bad_learning_rates_are_refused_before_they_are_sent(self, value):
        with pytest.raises(InvalidValueError, match="learning rate"):
            Command("set_lr", {"value": value})

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("set_lr", {"value": 10**400}),
            ("set_lr", {"value": 0.1, "group": -1}),
            ("set_lr", {"value": 0.1, "group": "0"}),
            ("set_lr", {"value": 0.1, "momentum": 0.9}),
            ("pause", {"value": 0.1}),
        ],
    )
    def test_arguments_that_a_command_does_not_have_are_refused(self, name, arguments):
        with pytest.raises(InvalidValueError):
            Command(name, arguments)

    def test_a_removed_inbox_is_quiet(self, tmp_path):
        inbox = Inbox(tmp_path / "inbox")
        (tmp_path / "inbox").rmdir()
        assert inbox.poll() == []


class TestRecorder:
    def test_points_and_series_are_written_and_continued(self, tmp_path, record):
        run = RunDirectory.create(tmp_path)
        for first in (0, 3):
            recorder = record(run)
            start(recorder)
            points = events.Points("loss", range(first, first + 3), [1.0, math.nan, 3.0], prog_bar=True)
            recorder.observe(events.MetricsLogged(time.time(), 1, (points, events.Points("empty", [], []))))
            recorder.close()
        blocks = read_blocks(run.metrics_log)[0]
        assert [block.kind for block in blocks] == [START, SERIES, POINTS, START, POINTS]
        assert json.loads(bytes(blocks[1].payload)) == {"id": 0, "name": "loss", "prog_bar": True}
        assert [decode_points(block.payload).chunks[0].first for block in blocks if block.kind == POINTS] == [0, 3]
        assert run.status().headline == {"loss": 3.0}

    def test_status_carries_what_json_can_not(self, tmp_path, record):
        recorder = record(run := RunDirectory.create(tmp_path))
        start(recorder)
        ended = events.RunEnded(time.time(), "failed", "train", 5, 0, "ValueError: no", {"a": math.inf, "b": math.nan})
        recorder.observe(ended)
        status = run.status()
        assert (status.state, status.error, status.metrics) == ("failed", "ValueError: no", {"a": "inf", "b": "nan"})

    def test_rate_eta_and_waiting(self, tmp_path, record):
        recorder = record()
        start(recorder)
        t0 = time.time()
        for i in range(101):
            progress(recorder, t0 + i / 10, i, i / 10, data_wait=i / 40)
        status = recorder.status
        assert status.rate == pytest.approx(10)
        assert status.samples_per_second == pytest.approx(320)
        assert status.eta == pytest.approx(10)
        assert status.data_wait == pytest.approx(0.25)

    def test_a_resumed_run_counts_only_its_own_steps(self, tmp_path, record):
        recorder = record()
        start(recorder, step=100)
        for i in range(11):
            progress(recorder, time.time() + i, 100 + i, float(i))
        assert recorder.status.rate == pytest.approx(1)
        assert recorder.status.eta == pytest.approx(90)

    def test_a_pause_does_not_slow_the_rate(self, tmp_path, record):
        recorder = record()
        start(recorder)
        t0 = time.time()
        for i in range(20):
            progress(recorder, t0 + i / 10, i, i / 10)
        recorder.observe(events.Paused(t0 + 2, 19, 0))
        assert recorder.run.status().state == "paused"
        recorder.observe(events.Resumed(t0 + 1000, 19, 0))
        for i in range(20, 40):
            progress(recorder, t0 + 1000 + i / 10, i, i / 10)
        assert recorder.status.rate == pytest.approx(10)

    def test_the_rate_of_validation_is_in_batches(self, tmp_path, record):
        recorder = record()
        start(recorder)
        for i in range(10):
            progress(recorder, time.time(), 50, 5 + i / 10, stage="validate", batch=i * 2)
        assert recorder.status.rate == pytest.approx(20)

    def test_the_status_file_is_replaced_at_most_four_times_a_second(self, tmp_path, record):
        recorder = record(run := RunDirectory.create(tmp_path))
        start(recorder)
        t0, writes, last = time.time(), 0, None
        for i in range(1000):
            progress(recorder, t0 + i / 1000, i, i / 1000)
            now = run.status_file.stat().st_ino, run.status_file.stat().st_mtime_ns
            writes, last = writes + (now != last), now
        assert writes <= 5

    def test_events_are_all_there(self, tmp_path, record):
        recorder = record(run := RunDirectory.create(tmp_path))
        start(recorder)
        recorder.observe(events.CommandApplied(1.0, 3, 0, "set_lr", "ada", "lr 0.1 → 0.01"))
        recorder.observe(events.WarningRaised(2.0, 4, 0, "non-finite", "loss is NaN"))
        got = [json.loads(bytes(b.payload)) for b in read_blocks(run.events_log)[0] if b.kind == EVENT]
        assert [record["event"] for record in got] == ["RunStarted", "CommandApplied", "WarningRaised"]
        assert got[1]["detail"] == "lr 0.1 → 0.01"

    def test_series_are_defined_again_after_a_full_disk(self, tmp_path):
        code = (
            "import resource, signal, sys, time\n"
            "from lit_studio.base import events\n"
            "from lit_studio.base.runs import RunDirectory, RunRecorder\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "run = RunDirectory.create(sys.argv[1]); recorder = RunRecorder(run)\n"
            "def log(name, n):\n"
            "    points = events.Points(name, list(range(n)), [0.5] * n)\n"
            "    recorder.observe(events.MetricsLogged(time.time(), 0, (points,)))\n"
            "log('before', 10)\n"
            "full = (run.metrics_log.stat().st_size + 100,) * 2\n"
            "soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (full[0], hard))\n"
            "try: log('loss', 1000)\n"
            "except OSError as error: print('OSError', error.errno)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))\n"
            "log('loss', 5); recorder.close()\n"
        )
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("OSError")
        blocks, end = read_blocks(tmp_path / "studio" / "metrics.log")
        assert end == (tmp_path / "studio" / "metrics.log").stat().st_size
        names = {r["id"]: r["name"] for b in blocks if b.kind == SERIES for r in [json.loads(bytes(b.payload))]}
        counts = {}
        for block in blocks:
            if block.kind == POINTS:
                for chunk in decode_points(block.payload).chunks:
                    counts[names[chunk.series]] = counts.get(names[chunk.series], 0) + chunk.count
        assert counts == {"before": 10, "loss": 5}
        assert not list((tmp_path / "studio").glob(".*.tmp"))
