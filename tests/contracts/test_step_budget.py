"""A training step stays short to read and cheap to run: files entered, calls between them, calls above a bare loop.

It must not know what the loop does; it watches Python's calls. Counts, not times: they are the same on every machine.
Files and crossings are taken with logger, checkpoint, bar and summary off, as the peers' figures were: Lightning 2.6
enters 30 files in a step and crosses 312 times, and 54 files before its first step. Calls are taken with all of them
on, and with a ``self.log`` in each step: Lightning makes 4,548 more than a bare loop, and 1,905 for another log.
Flushes, which come by the clock, are kept out of these counts and get one of their own.
"""

from __future__ import annotations

import io
import statistics
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import lit_studio as L
from lit_studio.trainer import observation, results
from tests.benchmarks import counting, loop_side
from tests.benchmarks.workload import MLP

PACKAGE = str(Path(L.__file__).parent)
STEP_FILES, STEP_CROSSINGS = 8, 40
START_FILES, START_FILES_IN_ALL = 15, 25  # decision 0006
EXTRA_CALLS, CALLS_A_LOG, CALLS_A_FLUSH = 40, 10, 250


class Watch:
    """Our files entered and crossings between files, in windows that :meth:`cut` ends."""

    def __init__(self):
        self.windows, self.files, self.crossings = [], set(), []

    def cut(self):
        """End the window and begin the next."""
        self.windows.append((self.files, self.crossings))
        self.files, self.crossings = set(), []

    def seen(self, frame, event, _):
        """Python's profiling hook."""
        if event != "call" or frame.f_code.co_name == "<module>":
            return
        file = frame.f_code.co_filename
        if file.startswith(PACKAGE):
            self.files.add(file.removeprefix(PACKAGE))
            caller = frame.f_back.f_code.co_filename if frame.f_back else ""
            if caller != file:
                self.crossings.append(f"{Path(caller).name} → {file.removeprefix(PACKAGE)}:{frame.f_code.co_name}")


class Tiny(L.LightningModule):
    def __init__(self, watch):
        super().__init__()
        self.network, self.watch = torch.nn.Linear(4, 1), watch

    def training_step(self, batch, batch_idx):
        self.watch.cut()
        return self.network(batch[0]).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture(scope="module")
def no_clock():
    """No flush comes by the clock: on a slow machine one would fall into what is counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observation, "FLUSH_EVERY", float("inf"))
        yield


@pytest.fixture(scope="module")
def windows(tmp_path_factory, no_clock):
    """What happened before the first training step, then in each of 63 steps."""
    watch = Watch()
    loader = DataLoader(TensorDataset(torch.randn(64 * 4, 4)), batch_size=4)
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = L.Trainer(max_epochs=1, default_root_dir=tmp_path_factory.mktemp("fit"), accelerator="cpu", **off)
    module = Tiny(watch)
    sys.setprofile(watch.seen)
    try:
        trainer.fit(module, loader)
    finally:
        sys.setprofile(None)
    assert len(watch.windows) == 64
    return watch.windows


def test_a_step_enters_few_files_and_crosses_seldom(windows):
    steps = windows[1:]
    files = statistics.median(len(files) for files, _ in steps)
    crossings = statistics.median(len(crossings) for _, crossings in steps)
    usual = min(steps, key=lambda window: abs(len(window[1]) - crossings))
    print(f"a step enters {files:.0f} of our files and crosses {crossings:.0f} times")
    assert 0 < files <= STEP_FILES, sorted(usual[0])
    assert 0 < crossings <= STEP_CROSSINGS, usual[1]


def test_a_fit_reaches_its_first_step_through_few_files(windows):
    files, crossings = windows[0]
    trainer = [file for file in files if file.startswith("/trainer/")]
    print(f"fit reaches its first step through {len(trainer)} of the trainer's files, {len(files)} of ours in all, ")
    print(f"crossing {len(crossings)} times")
    assert 0 < len(trainer) <= START_FILES, sorted(trainer)
    assert len(files) <= START_FILES_IN_ALL, sorted(files)


def calls_a_step(train) -> float:
    """Python functions that a step of ``train(loader)`` enters, torch's included."""
    loader = counting.CountingLoader()
    train(loader)
    return loader.counts()["calls"]


def all_on(loader, logs=1):
    """Our Trainer as it comes, with a bar that draws on a terminal and ``logs`` values logged in each step."""

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = MLP.network()

        def training_step(self, batch, batch_idx):
            inputs, targets = batch
            loss = torch.nn.functional.mse_loss(self.network(inputs), targets)
            for name in "abcdef"[:logs]:
                self.log(name, loss, prog_bar=True)
            return loss

        def configure_optimizers(self):
            return MLP.optimizer_of(self)

    console = {"file": io.StringIO(), "force_terminal": True, "force_jupyter": False}
    bar = L.callbacks.RichProgressBar(console_kwargs=console)
    with tempfile.TemporaryDirectory() as folder:
        options = {"max_epochs": 1, "accelerator": "cpu", "log_every_n_steps": 1, "enable_model_summary": False}
        options["logger"] = L.loggers.CSVLogger(folder)
        L.Trainer(default_root_dir=folder, callbacks=[bar], **options).fit(Module(), loader)
    assert "Epoch 0" in console["file"].getvalue()


@pytest.fixture(scope="module")
def calls(no_clock):
    """Calls a step: by hand, with all off, and with all on by the number of values logged."""
    found = {"by hand": calls_a_step(loop_side.by_hand), "all off": calls_a_step(loop_side.VARIANTS["ours, all off"])}
    return found | {logs: calls_a_step(lambda loader, logs=logs: all_on(loader, logs)) for logs in (1, 3)}


def test_a_step_with_everything_on_makes_few_calls_above_a_bare_loop(calls):
    off, on = calls["all off"] - calls["by hand"], calls[1] - calls["by hand"]
    print(f"above a bare loop a step makes {off:.1f} calls with all off and {on:.1f} with all on and one self.log")
    assert 0 < off <= on <= EXTRA_CALLS


def test_another_log_makes_few_calls(calls):
    extra = (calls[3] - calls[1]) / 2
    print(f"another self.log makes {extra:.1f} calls")
    assert 0 < extra <= CALLS_A_LOG


class Flushed(L.Callback):
    """Counts the calls of one flush after each of ``steps`` in the list."""

    def __init__(self, steps):
        self.steps, self.calls = steps, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx not in self.steps:
            return
        counter = counting.CallCounter()
        counter.start()
        trainer.observation.flush(batch_idx + 1)
        counter.stop()
        self.calls.append(counter.count)


def test_a_flush_makes_as_many_calls_for_a_thousand_steps_as_for_ten(tmp_path, no_clock, monkeypatch):
    monkeypatch.setattr("lit_studio.base.runs.record.STATUS_EVERY", float("inf"))  # by the clock, too
    flushed = Flushed([100, 110, 1110])  # after the first, which makes the columns

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def training_step(self, batch, batch_idx):
            loss = (self.weight - batch[0]).square().mean()
            self.log("loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.01)

    loader = DataLoader(TensorDataset(torch.ones(1200, 1)), batch_size=1)
    options = {"max_epochs": 1, "accelerator": "cpu", "log_every_n_steps": 1, "enable_model_summary": False}
    options |= {"enable_progress_bar": False, "enable_checkpointing": False, "logger": L.loggers.CSVLogger(tmp_path)}
    L.Trainer(default_root_dir=tmp_path, callbacks=[flushed], **options).fit(Module(), loader)
    _, ten, thousand = flushed.calls
    print(f"a flush of 10 steps makes {ten} calls, of 1,000 {thousand}")
    assert 0 < thousand <= ten + 5
    assert thousand <= CALLS_A_FLUSH


def test_no_step_waits_for_a_device_and_a_flush_reads_it_once(no_clock, monkeypatch, tmp_path):
    # On torch's meta device nothing can be read: one ``.item()`` or ``bool()`` would raise. (On the CPU a step does
    # read: there is no queue to wait for, and a float costs less to keep than a tensor.)
    copies = []
    monkeypatch.setattr(results, "_stacked", lambda tensors: copies.append(len(tensors)) or [0.0] * len(tensors))

    class Far(L.LightningModule):
        """Its network is hidden from the Trainer, which could not move it off the meta device."""

        def __init__(self):
            super().__init__()
            self.hidden = [torch.nn.Linear(4, 1, device="meta")]

        def training_step(self, batch, batch_idx):
            loss = self.hidden[0](batch[0].to("meta")).square().mean()
            self.log_dict({"a": loss, "b": loss.detach()}, prog_bar=True, on_step=True, on_epoch=True)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.hidden[0].parameters(), lr=0.1)

    loader = DataLoader(TensorDataset(torch.randn(40, 4)), batch_size=4)
    bar = L.callbacks.RichProgressBar(console_kwargs={"file": io.StringIO(), "force_terminal": True})
    options = {"max_epochs": 1, "accelerator": "cpu", "log_every_n_steps": 1, "enable_model_summary": False}
    options["logger"] = L.loggers.CSVLogger(tmp_path)
    fit = L.Trainer(default_root_dir=tmp_path, callbacks=[bar], **options)
    fit.fit(Far(), loader)
    assert fit.global_step == 10
    assert copies == [30]  # two values and the loss of each step, in one copy to the host
