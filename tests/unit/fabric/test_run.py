"""A loop of one's own leaves a run: record, live view, loggers, a person's commands, and an end."""

from __future__ import annotations

import gc
import math
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import lit_studio as L
from lit_studio.base import registry
from lit_studio.base.events import (
    CheckpointSaved,
    CommandApplied,
    MetricsLogged,
    Paused,
    Progressed,
    Resumed,
    RunEnded,
    RunStarted,
    WarningRaised,
)
from lit_studio.base.runs import Command, RunDirectory, list_runs, send_command
from lit_studio.fabric.loggers import CSVLogger
from lit_studio.tracking import RunReader
from tests.unit.fabric.conftest import Loop


def record(path="lightning_logs/version_0"):
    run = RunDirectory.open(path)
    reader = RunReader(run)
    reader.refresh()
    return run.status(), {name: tuple(part.tolist() for part in reader.values(name)) for name in reader.names()}


def test_a_loop_that_logs_nothing_leaves_nothing(loop, elsewhere):
    loop.epoch(log=False)
    loop.fabric.finish()
    assert list(elsewhere.iterdir()) == []
    assert list_runs() == []


def test_the_first_log_opens_a_run_like_the_trainers(loop, seen):
    loop.epoch()
    loop.fabric.finish()
    loop.epoch(log=False)
    status, values = record()
    assert (status.state, status.stage, status.step, status.epoch) == ("finished", "train", 8, 0)
    assert (status.batch, status.batches) == (8, 8)
    assert (values["loss"][0], values["loss"][1]) == (list(range(1, 9)), pytest.approx(loop.losses[:8]))
    assert status.headline == {"loss": pytest.approx(loop.losses[7])}
    assert status.learning_rate == 0.1
    assert [type(event) for event in (seen.events[0], seen.events[-1])] == [RunStarted, RunEnded]
    assert seen.of(Progressed)[-1].samples == 32
    assert seen.closed == 1


def test_steps_come_from_the_argument_the_optimizers_or_a_count(loop):
    fabric = L.Fabric(accelerator="cpu")
    for value in range(3):
        fabric.log("counted", value)
    fabric.log("given", 1.0, step=10)
    fabric.log_dict({"given": 2.0, "too": torch.tensor(3)}, step=20)
    fabric.finish()
    _, values = record()
    assert values == {
        "counted": ([0, 1, 2], [0.0, 1.0, 2.0]),
        "given": ([10, 20], [1.0, 2.0]),
        "too": ([20], [3.0]),
    }
    loop.epoch()
    loop.fabric.log_dict({"val_loss": 1.0, "val_acc": np.float32(0.5)})
    loop.fabric.finish()
    status, values = record("lightning_logs/version_1")
    assert values["val_acc"] == ([8], [0.5])
    assert status.step == 8


@pytest.mark.parametrize("value", [torch.ones(2), "text", {"a": 1}, [1], None, 1j])
def test_what_is_no_number_is_refused_at_once(value):
    with pytest.raises(L.InvalidValueError, match="'loss' can't be logged"):
        L.Fabric(accelerator="cpu").log("loss", value)


def test_values_on_a_device_are_read_in_one_copy_a_flush(monkeypatch):
    from lit_studio.fabric import run as fabric_run

    copies = []
    monkeypatch.setattr(fabric_run, "FLUSH_EVERY", 1000.0)
    monkeypatch.setattr(fabric_run, "to_host", lambda tensors: copies.append(len(tensors)) or [1.0] * len(tensors))
    fabric = L.Fabric(accelerator="cpu")
    for _ in range(50):
        fabric.log("loss", torch.ones((), device="meta"))  # reading it would raise
        fabric.log("other", torch.ones(1, device="meta"))
    assert copies == []
    fabric.finish()
    assert copies == [100]
    assert record()[1]["loss"][1] == [1.0] * 50


def test_a_logged_tensor_may_change_afterwards(monkeypatch):
    total = torch.zeros(())
    fabric = L.Fabric(accelerator="cpu")
    for _ in range(3):
        total += 1
        fabric.log("total", total)
    fabric.finish()
    assert record()[1]["total"][1] == [1.0, 2.0, 3.0]


def test_loggers_get_each_call_as_one_row_and_their_directory_is_the_runs(tmp_path):
    told = []

    class Logger(CSVLogger):
        def log_metrics(self, metrics, step=None):
            told.append((dict(metrics), step))
            super().log_metrics(metrics, step)

        def finalize(self, status):
            told.append(status)
            super().finalize(status)

    logger = Logger(tmp_path / "logs", name="mine")
    loop = Loop(loggers=logger)
    assert loop.fabric.logger is logger
    assert loop.fabric.loggers == [logger]
    loop.epoch()
    loop.fabric.log_dict({"a": 1, "b": torch.tensor(2.0)}, step=3)
    loop.fabric.finish()
    rows, last = told[:8], told[8]
    assert [step for _, step in rows] == list(range(1, 9))
    assert [row["loss"] for row, _ in rows] == pytest.approx(loop.losses)
    assert (last, told[9:]) == (({"a": 1.0, "b": 2.0}, 3), ["success"])
    assert record(tmp_path / "logs" / "mine" / "version_0")[0].state == "finished"
    assert not Path("lightning_logs").exists()
    with pytest.raises(L.InvalidStateError, match="no logger"):
        L.Fabric(accelerator="cpu").logger  # noqa: B018
    with pytest.raises(L.InvalidTypeError, match="no logger"):
        L.Fabric(accelerator="cpu", loggers=[3])


def test_a_logger_that_fails_is_reported_once_and_ends_nothing(tmp_path, monkeypatch):
    class Broken(CSVLogger):
        def log_metrics(self, metrics, step=None):
            raise OSError("disk full")

    loop = Loop(loggers=[Broken(tmp_path), whole := CSVLogger(tmp_path / "whole")])
    loop.epoch()
    with pytest.warns(UserWarning, match="Broken failed") as told:
        loop.fabric.finish()
    assert len(told) == 1
    assert len((Path(whole.log_dir) / "metrics.csv").read_text().splitlines()) == 9


def test_a_value_that_is_nan_is_told_once(loop, seen):
    loop.fabric.log("loss", 1.0)
    loop.fabric.log("loss", math.nan)
    loop.fabric.log("loss", math.inf)
    with pytest.warns(UserWarning, match="loss is NaN at step 1"):
        loop.fabric.finish()
    assert [event.kind for event in seen.of(WarningRaised)] == ["non-finite"]


def test_the_mode_off_shows_nothing_but_keeps_the_record(loop, seen, monkeypatch):
    monkeypatch.setenv("LIT_STUDIO_MODE", "off")
    loop.epoch()
    loop.fabric.finish()
    assert seen.events == []
    assert record()[0].state == "finished"


# The end ----------------------------------------------------------------------------------------------------------


def test_a_value_logged_after_the_end_goes_on_with_the_same_run(loop, seen):
    loop.epoch()
    loop.fabric.finish()
    loop.fabric.finish()
    loop.fabric.log("test_acc", 0.5)
    assert RunDirectory.open("lightning_logs/version_0").status().state == "running"
    loop.fabric.finish()
    status, values = record()
    assert (status.state, values["test_acc"]) == ("finished", ([8], [0.5]))
    assert len(list_runs()) == 1
    assert (len(seen.of(RunStarted)), len(seen.of(RunEnded))) == (2, 2)


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (None, "finished", ""),
        (ZeroDivisionError("by nothing"), "failed", "by nothing"),
        (KeyboardInterrupt(), "interrupted", ""),
    ],
)
def test_a_with_block_ends_the_run_as_it_ends(loop, error, state, words):
    try:
        with loop.fabric as fabric:
            fabric.log("loss", 1.0)
            if error is not None:
                raise error
    except type(error or Exception()):
        pass
    status, _ = record()
    assert status.state == state
    assert words in status.error


def test_a_launched_function_and_an_overridden_run_end_their_run():
    def train(fabric, value, more=0):
        fabric.log("loss", value + more)
        return fabric.world_size

    assert L.Fabric(accelerator="cpu").launch(train, 1, more=2) == 1
    assert record()[1]["loss"][1] == [3.0]

    class Mine(L.Fabric):
        def run(self, value):
            self.log("loss", value)
            return value / 0

    with pytest.raises(ZeroDivisionError):
        Mine(accelerator="cpu").run(5)
    assert record("lightning_logs/version_1")[0].state == "failed"
    assert L.Fabric(accelerator="cpu").launch() is None
    for wrong in (3, lambda: None):
        with pytest.raises(L.InvalidTypeError, match="function"):
            L.Fabric(accelerator="cpu").launch(wrong)


def test_a_run_ends_with_its_fabric():
    fabric = L.Fabric(accelerator="cpu")
    fabric.log("loss", 1.0)
    del fabric
    gc.collect()
    assert record()[0].state == "finished"


@pytest.mark.parametrize(
    ("last", "state", "code"),
    [("pass", "finished", 0), ("raise OSError('gone')", "failed", 1), ("raise KeyboardInterrupt", "interrupted", None)],
)
def test_a_script_that_says_nothing_ends_its_run_at_exit(elsewhere, last, state, code):
    script = f"""
        import lit_studio as L
        fabric = L.Fabric(accelerator="cpu")
        fabric.log("loss", 1.0)
        {last}
    """
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)], capture_output=True, text=True
    )
    assert code is None or ended.returncode == code, ended.stderr
    status, values = record()
    assert (status.state, values["loss"][1]) == (state, [1.0])
    assert ("gone" in status.error) == (state == "failed")


def test_a_notebooks_cell_ends_the_run_and_the_next_goes_on():
    class Cell:
        displays, at_cell_end = True, None

        def observe(self, event):
            pass

        def close(self):
            pass

    cells = []
    registry.register("observers", "cell", lambda run: cells.append(Cell()) or cells[-1])
    try:
        fabric = L.Fabric(accelerator="cpu")
        fabric.log("loss", 1.0)
        cells[0].at_cell_end(None)
        assert record()[0].state == "finished"
        fabric.log("loss", 2.0)
        cells[1].at_cell_end(ValueError("in the cell"))
        status, values = record()
        assert (status.state, status.error, values["loss"][1]) == ("failed", "ValueError: in the cell", [1.0, 2.0])
    finally:
        registry.unregister("observers", "cell")


# A person's commands ----------------------------------------------------------------------------------------------


def wait_until(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def commanded(loop, script):
    """Run ``loop`` until it should stop while ``script(send, run)`` is carried out by another thread."""
    errors = []

    def person():
        try:
            wait_until(lambda: Path("lightning_logs/version_0/studio/status.json").exists())
            run = RunDirectory.open("lightning_logs/version_0")
            script(lambda name, **arguments: send_command(run.inbox, Command(name, arguments, who="ada")), run)
        except BaseException as error:
            errors.append(error)
        finally:
            loop.fabric.should_stop = True

    loop.fabric.log("loss", 0.0)
    thread = threading.Thread(target=person, daemon=True)
    thread.start()
    while not loop.fabric.should_stop:
        loop.epoch()
    thread.join(20)
    loop.fabric.finish()
    assert errors == []


def test_pause_waits_at_a_step_and_stop_is_left_to_the_loop(loop, seen):
    noted = {}

    def script(send, run):
        send("pause")
        wait_until(lambda: run.status().state == "paused")
        noted["paused"] = len(loop.losses)
        time.sleep(0.2)
        noted["still"] = len(loop.losses)
        send("resume")
        wait_until(lambda: len(loop.losses) > noted["still"] + 8)
        send("stop")
        wait_until(lambda: loop.fabric.should_stop)

    commanded(loop, script)
    assert noted["paused"] == noted["still"]
    assert [event.name for event in seen.of(CommandApplied)] == ["pause", "resume", "stop"]
    assert seen.of(CommandApplied)[0].who == "ada"
    assert (len(seen.of(Paused)), len(seen.of(Resumed))) == (1, 1)
    assert record()[0].state == "stopped"
    loop.fabric.log("test_acc", 1.0)
    loop.fabric.finish()
    assert (record()[0].state, loop.fabric.should_stop) == ("finished", False)


def test_the_learning_rate_is_set_and_saving_is_refused(loop, seen):
    schedule = torch.optim.lr_scheduler.LambdaLR(loop.optimizer, lambda epoch: 1.0)

    def script(send, run):
        send("set_lr", value=0.05)
        wait_until(lambda: seen.of(CommandApplied))
        send("save")
        wait_until(lambda: seen.of(WarningRaised))

    with pytest.warns(UserWarning, match=r"fabric\.save"):
        commanded(loop, script)
    assert seen.of(CommandApplied)[0].detail == "lr 0.1 → 0.05, until its scheduler sets it"
    assert loop.optimizer.param_groups[0]["lr"] == 0.05
    assert schedule.get_last_lr() == [0.1]


def test_a_learning_rate_lasts_where_the_scheduler_is_known(seen):
    loop = Loop()
    inner = torch.optim.SGD(loop.network.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(inner, lambda epoch: 1.0)
    loop.fabric = L.Fabric(accelerator="cpu")
    loop.model, loop.optimizer, schedule = loop.fabric.setup(loop.network, inner, scheduler=schedule)

    def script(send, run):
        send("set_lr", value=0.05)
        wait_until(lambda: seen.of(CommandApplied))

    commanded(loop, script)
    schedule.step()
    assert seen.of(CommandApplied)[0].detail == "lr 0.1 → 0.05"
    assert inner.param_groups[0]["lr"] == 0.05


def test_a_checkpoint_is_marked_on_the_curve(loop, seen):
    loop.fabric.save("before.ckpt", {"model": loop.model})
    loop.epoch()
    loop.fabric.save("after.ckpt", {"model": loop.model})
    loop.fabric.finish()
    assert [(Path(event.path).name, event.step) for event in seen.of(CheckpointSaved)] == [("after.ckpt", 8)]
    assert seen.of(MetricsLogged)


def test_a_step_costs_few_calls(loop):
    """Python calls in our files for one step with one log: counts, which don't depend on the machine."""
    counted = []
    package = str(Path(L.__file__).parent)
    loop.epoch()
    batch = next(iter(loop.loader))
    loop.fabric._run.due = math.inf

    def watch(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(package):
            counted.append(frame.f_code.co_qualname)

    for log in (False, True):
        counted.clear()
        sys.setprofile(watch)
        try:
            loss = loop.step(batch)
            if log:
                loop.fabric.log("loss", loss)
        finally:
            sys.setprofile(None)
        assert 0 < len(counted) <= (9 if log else 6), counted
    loop.fabric.finish()
