"""A training step stays short to read: how many of our files it enters, and how often it crosses from one to another.

It must not know what the loop does; it watches Python's calls. Counts, not times: they are the same on every machine.
Taken with logger, checkpoint, bar and summary off, as the peers' figures were: Lightning 2.6 enters 30 files in a step
and crosses 312 times, and 54 files before its first step.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import lit_studio as L

PACKAGE = str(Path(L.__file__).parent)
STEP_FILES, STEP_CROSSINGS = 8, 40
START_FILES, START_FILES_IN_ALL = 15, 22  # decision 0006


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
def windows(tmp_path_factory):
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
