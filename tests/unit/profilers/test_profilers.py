"""Profilers: what they measure, where the report goes, and misuse."""

from __future__ import annotations

import json
import logging
import pstats
import sys
import time

import pytest
import torch

import lit_studio as L
from lit_studio.base.errors import InvalidTypeError, InvalidValueError, MisconfigurationException
from lit_studio.profilers import (
    AdvancedProfiler,
    PassThroughProfiler,
    PyTorchProfiler,
    SimpleProfiler,
    resolve_profiler,
)
from tests.unit.trainer.models import loader, seeded


def test_names_resolve_and_nothing_means_none():
    assert isinstance(resolve_profiler("simple"), SimpleProfiler)
    assert isinstance(resolve_profiler("advanced"), AdvancedProfiler)
    assert isinstance(resolve_profiler("pytorch"), PyTorchProfiler)
    mine = SimpleProfiler()
    assert resolve_profiler(mine) is mine
    assert resolve_profiler(None) is None
    assert resolve_profiler(PassThroughProfiler()) is None
    with pytest.raises(MisconfigurationException, match=r"simple.*advanced.*pytorch.*quick"):
        resolve_profiler("quick")
    with pytest.raises(InvalidTypeError, match="no profiler"):
        resolve_profiler(3)


def test_simple_counts_and_orders_by_total():
    profiler = SimpleProfiler()
    profiler.setup("fit")
    for _ in range(3):
        with profiler.profile("short"):
            pass
    with profiler.profile("long"):
        time.sleep(0.02)
    assert len(profiler.recorded_durations["short"]) == 3
    assert profiler.recorded_durations["long"][0] >= 0.02
    text = profiler.summary()
    assert text.index("long") < text.index("short")
    assert "Calls" in text
    assert "Calls" not in SimpleProfiler(extended=False).summary()
    profiler.setup("test")
    assert profiler.summary() == ""


def test_simple_measures_what_raises():
    profiler = SimpleProfiler()
    with pytest.raises(ZeroDivisionError), profiler.profile("boom"):
        _ = 1 / 0
    assert len(profiler.recorded_durations["boom"]) == 1


def test_simple_refuses_unpaired_calls():
    profiler = SimpleProfiler()
    profiler.start("a")
    with pytest.raises(InvalidValueError, match="started already"):
        profiler.start("a")
    with pytest.raises(InvalidValueError, match="not started"):
        profiler.stop("b")


def test_reports_go_to_a_file_or_to_the_log(tmp_path, caplog):
    to_file = SimpleProfiler(dirpath=tmp_path / "reports", filename="perf")
    to_file.setup("fit")
    with to_file.profile("step"):
        pass
    to_file.describe()
    assert "step" in (tmp_path / "reports" / "fit-perf.txt").read_text()
    in_run = SimpleProfiler(filename="perf")
    in_run.setup("test", local_rank=2, log_dir=str(tmp_path))
    assert in_run.report_path(".txt") == tmp_path / "test-perf-2.txt"
    to_log = SimpleProfiler()
    with to_log.profile("step"):
        pass
    with caplog.at_level(logging.INFO, logger="lit_studio"):
        to_log.describe()
    assert "step" in caplog.text


def work(n):
    return sorted(range(n), key=lambda i: -i)


@pytest.mark.skipif(sys.getprofile() is not None, reason="another profiler is active")
def test_advanced_counts_calls_under_the_innermost_action(tmp_path):
    profiler = AdvancedProfiler(dirpath=tmp_path, filename="calls", dump_stats=True)
    profiler.setup("fit")
    with profiler.profile("outer"):
        work(10)
        with profiler.profile("inner/step"):
            work(20)
            work(20)
        work(30)
    profiler.describe()

    def calls(name):
        stats = pstats.Stats(str(tmp_path / f"{name}.prof")).stats
        return sum(row[0] for (_, _, function), row in stats.items() if function == "work")

    assert calls("outer") == 2
    assert calls("inner_step") == 2
    assert "Profile of inner/step" in (tmp_path / "fit-calls.txt").read_text()
    with pytest.raises(InvalidValueError, match="got 'never'; expected nothing"):
        profiler.stop("never")
    profiler.start("left open")
    profiler.teardown()
    assert sys.getprofile() is None


def test_pytorch_writes_a_trace_with_our_names(tmp_path):
    profiler = PyTorchProfiler(dirpath=tmp_path, filename="ops", row_limit=5)
    profiler.setup("fit")
    for _ in range(6):
        with profiler.profile("run_training_batch"), profiler.profile("forward"):
            torch.ones(8, 8) @ torch.ones(8, 8)
    profiler.describe()
    profiler.teardown()
    assert "aten::" in (tmp_path / "fit-ops.txt").read_text()
    (trace,) = tmp_path.glob("fit-rank0*.json")
    names = {event.get("name") for event in json.loads(trace.read_text())["traceEvents"]}
    assert {"run_training_batch", "forward", "aten::mm"} <= names


def test_pytorch_stops_where_no_summary_was_asked_for():
    profiler = PyTorchProfiler(export_to_chrome=False)
    profiler.setup("test")
    profiler.start("left open")
    profiler.teardown()
    assert profiler.summary() == ""
    with pytest.raises(InvalidTypeError, match="schedule"):
        PyTorchProfiler(schedule=3)


class TestFit:
    """What a Trainer hands to its profiler."""

    def train(self, profiler, **options):
        off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        trainer = L.Trainer(max_steps=8, accelerator="cpu", profiler=profiler, **off, **options)
        trainer.fit(seeded(), loader(32, 2))

    def test_a_report_names_the_parts_of_a_step(self, caplog):
        profiler = SimpleProfiler()
        with caplog.at_level("INFO", "lit_studio"):
            self.train(profiler)
        calls = {name: len(seconds) for name, seconds in profiler.recorded_durations.items()}
        parts = ("run_training_batch", "training_step", "backward", "optimizer_step", "train_dataloader_next")
        assert {name: calls.get(name) for name in parts} == dict.fromkeys(parts, 8)
        assert "optimizer_step" in caplog.text

    def test_a_trace_holds_the_steps_that_the_schedule_wants(self, tmp_path):
        self.train(PyTorchProfiler(dirpath=tmp_path, filename="fit"))
        (trace,) = tmp_path.glob("*.pt.trace.json")
        events = json.loads(trace.read_text())["traceEvents"]
        names = [event.get("name") for event in events if event.get("ph") == "X"]
        assert names.count("training_step") == 3
        assert names.count("backward") == 3
        assert "aten::addmm" in names

    def test_a_run_shorter_than_the_schedule_says_so(self, tmp_path, caplog):
        with caplog.at_level("INFO", "lit_studio"):
            self.train(PyTorchProfiler(schedule=torch.profiler.schedule(wait=50, warmup=1, active=1)))
        assert "before the schedule's first recorded step" in caplog.text
