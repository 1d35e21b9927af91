"""The launchers: copies of the script, and new processes whose work comes back into this one."""

from __future__ import annotations

import multiprocessing
import os
import sys
import types

import pytest
import torch
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException
from torch.utils.data import DataLoader

import lit_studio as L
from lit_studio.base import registry
from lit_studio.base.events import MetricsLogged, RunEnded, RunStarted
from lit_studio.callbacks import Callback, ModelCheckpoint
from tests.distributed.conftest import PROGRAM, Script, gone, read_ranks
from tests.distributed.program import BATCH, QUIET, Idle, Regression, dataset, numbers


def spawning(tmp_path, strategy="ddp_spawn", **settings):
    return L.Trainer(strategy=strategy, devices=2, default_root_dir=tmp_path, **{**QUIET, "max_epochs": 1, **settings})


def test_a_script_starts_its_other_ranks_and_they_train_as_under_torchrun(torchrun, tmp_path):
    run = Script(PROGRAM, tmp_path)
    try:
        run.process.communicate(timeout=60)
    finally:
        run.end()
    assert run.process.returncode == 0
    for found, reference in zip(read_ranks(tmp_path), torchrun, strict=True):
        assert found["losses"] == reference["losses"]
        assert found["weights"] == reference["weights"]
        assert found["ranks"] == reference["ranks"]


class Remembers(Callback):
    """Fills a list of the user's."""

    def __init__(self, steps):
        self.steps, self.note, self.lock = steps, "", None

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.steps.append(trainer.global_step)
        self.note = f"rank {trainer.global_rank}"


def test_what_spawned_ranks_did_comes_back(torchrun, tmp_path):
    steps, module = [], Regression()
    weights = list(module.parameters())
    best = ModelCheckpoint(tmp_path / "best", monitor="val_loss")
    remembers = Remembers(steps)
    trainer = spawning(tmp_path, max_epochs=3, callbacks=[best, remembers])
    data = DataLoader(dataset(), batch_size=BATCH)
    trainer.fit(module, data, data)
    assert all(mine is before for mine, before in zip(module.parameters(), weights, strict=True))
    assert [p.tolist() for p in module.parameters()] == torchrun[0]["weights"]
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert metrics == pytest.approx(torchrun[0]["metrics"])
    assert (trainer.global_step, trainer.current_epoch, trainer.state.finished) == (24, 3, True)
    assert best.best_model_path == str(tmp_path / "best" / "epoch=2-step=24.ckpt")
    assert (steps, remembers.note) == (list(range(1, 25)), "rank 0")
    assert [folder.name for folder in (tmp_path / "lightning_logs").iterdir()] == ["version_0"]
    assert trainer.log_dir == str(tmp_path / "lightning_logs" / "version_0")
    assert multiprocessing.active_children() == []
    assert not torch.distributed.is_initialized()


def test_results_of_evaluation_come_back_from_forked_ranks(tmp_path):
    trainer = spawning(tmp_path, "ddp_fork", logger=False, enable_checkpointing=False)
    (found,) = trainer.validate(Regression(), DataLoader(dataset(), batch_size=BATCH), verbose=False)
    assert (found["mean"], found["sum"]) == (0.5, 24.0)
    assert trainer.predict(Idle(), DataLoader(numbers(4), batch_size=1)) == [[0.0], [2.0]]


SLOW_END = """
import sys, time
import lit_studio as L
from tests.distributed.program import QUIET, Idle, numbers
from torch.utils.data import DataLoader

class Slow(L.Callback):
    def teardown(self, trainer, pl_module, stage):
        if trainer.is_global_zero:
            time.sleep(4)

trainer = L.Trainer(strategy="ddp", devices=2, callbacks=[Slow()], **{**QUIET, "logger": False, "max_epochs": 1})
trainer.predict(Idle(), DataLoader(numbers(4), batch_size=1))
trainer.predict(Idle(), DataLoader(numbers(4), batch_size=1))
print("rank", trainer.global_rank, "is through,", trainer.state.status, flush=True)
"""


def test_rank_0_may_wind_up_for_long_after_the_others_have_ended(script):
    run = script(SLOW_END)
    said, _ = run.process.communicate(timeout=90)
    assert run.process.returncode == 0, said
    assert "rank 1 is through, finished" in said
    assert "rank 0 is through, finished" in said


class FailsOnRankOne(Idle):
    """Raises on rank 1 while rank 0 waits for it."""

    def training_step(self, batch, batch_idx):
        if self.global_rank == 1 and batch_idx == 2:
            raise ValueError("this rank has a problem")
        return super().training_step(batch, batch_idx)


class DiesOnRankOne(Idle):
    """Is killed on rank 1 while rank 0 waits for it."""

    def training_step(self, batch, batch_idx):
        if self.global_rank == 1 and batch_idx == 2:
            os.kill(os.getpid(), 9)
        return super().training_step(batch, batch_idx)


def test_the_first_error_is_raised_and_names_its_rank(tmp_path):
    trainer = spawning(tmp_path, "ddp_fork", logger=False, enable_checkpointing=False)
    with pytest.raises(ProcessRaisedException, match="Rank 1 failed: ValueError: this rank has a problem") as caught:
        trainer.fit(FailsOnRankOne(), DataLoader(numbers(64), batch_size=1))
    assert isinstance(caught.value, L.StudioError)
    assert isinstance(caught.value.__cause__, ValueError)
    assert "in training_step" in str(caught.value)
    assert caught.value.rank == 1
    assert multiprocessing.active_children() == []


def test_a_rank_that_is_killed_is_named(tmp_path):
    trainer = spawning(tmp_path, "ddp_fork", logger=False, enable_checkpointing=False)
    with pytest.raises(ProcessExitedException, match="Rank 1 was killed by SIGKILL"):
        trainer.fit(DiesOnRankOne(), DataLoader(numbers(64), batch_size=1))
    assert multiprocessing.active_children() == []


def test_what_cannot_be_pickled_is_named_before_anything_starts(tmp_path):
    module = Idle()
    module.scale = torch.nn.Module()
    module.scale.function = lambda x: x
    with pytest.raises(TypeError, match=r"`model\.scale\.function` can't be pickled"):
        spawning(tmp_path).fit(module, DataLoader(numbers(4), batch_size=1))
    assert multiprocessing.active_children() == []


FAILING = """
import os, signal, sys, time, torch
from torch.utils.data import DataLoader, TensorDataset
import lit_studio as L

class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
    def training_step(self, batch, batch_idx):
        if batch_idx == 3 and self.global_rank == 0:
            print("training", flush=True)
        if batch_idx == 3 and self.global_rank == 1 and sys.argv[1] == "raise":
            raise ValueError("a problem of this rank")
        if batch_idx == 3 and self.global_rank == 1 and sys.argv[1] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.01)
        return self.weight.sum()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

trainer = L.Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_checkpointing=False,
                    enable_progress_bar=False, enable_model_summary=False, max_epochs=1)
trainer.fit(Net(), DataLoader(TensorDataset(torch.zeros(100_000, 1))))
"""


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raise", "RankRaisedError: Rank 1 failed: ValueError: a problem"),
        ("die", "RankDiedError: Rank 1 was killed by"),
    ],
)
def test_a_script_ends_when_another_rank_fails(script, how, words):
    run = script(FAILING, how)
    run.wait_for_line("training")
    family = run.family()
    output, _ = run.process.communicate(timeout=20)
    assert run.process.returncode == 1
    assert words in output
    assert gone(family, 5)


def test_no_rank_outlives_the_script_that_is_killed(script):
    run = script(FAILING, "go")
    run.wait_for_line("training")
    family = run.family()
    assert len(family) == 2
    run.process.kill()
    assert gone(family, 5)


def test_an_interrupt_ends_all_ranks(script):
    run = script(FAILING, "go")
    run.wait_for_line("training")
    family = run.family()
    run.process.send_signal(2)
    output, _ = run.process.communicate(timeout=20)
    assert run.process.returncode == 1
    assert "graceful shutdown" in output
    assert gone(family, 5)


class Screen:
    """Shows a run, and remembers what it was told."""

    displays = True

    def __init__(self, run):
        self.run, self.events, self.closed = run, [], False

    def observe(self, event):
        self.events.append((os.getpid(), event))

    def close(self):
        self.closed = True


def test_a_notebook_shows_what_forked_ranks_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    screens = []
    registry.register("observers", "screen", lambda run: screens.append(Screen(run)) or screens[-1])
    try:
        trainer = spawning(tmp_path, "ddp_fork", enable_progress_bar=None)
        trainer.fit(Idle(), DataLoader(numbers(64), batch_size=1))
    finally:
        registry.unregister("observers", "screen")
    (screen,) = screens
    assert (screen.closed, str(screen.run.path)) == (True, trainer.log_dir)
    assert {pid for pid, _ in screen.events} == {os.getpid()}
    events = [type(event) for _, event in screen.events]
    assert (events[0], events[-1]) == (RunStarted, RunEnded)
    assert MetricsLogged in events
