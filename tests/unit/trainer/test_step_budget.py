"""What a step costs in files and Python calls with everything on: record, logger, checkpoints and ``self.log``.

Counts, not times: they are the same on every machine. The leaner counts, with everything off, are in tests/contracts.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

import lit_studio as L
from lit_studio.trainer import observation, results
from tests.unit.trainer.models import Regression, loader, trainer

PACKAGE = str(Path(L.__file__).parent)
FILES, CROSSINGS, CALLS_A_LOG = 8, 40, 10
FROM, TO = 20, 40


class Counted(Regression):
    """Counts our calls while batches ``FROM`` to ``TO`` run, flushes left out (they are many steps')."""

    def __init__(self, logs: int):
        super().__init__()
        self.logs, self.calls, self.crossings, self.files = logs, 0, Counter(), set()

    def training_step(self, batch, batch_idx):
        if batch_idx == FROM:
            self.trainer.observation.due = float("inf")
            sys.setprofile(self.seen)
        elif batch_idx == TO:
            sys.setprofile(None)
            self.trainer.observation.due = 0.0
        loss = self.error(batch)
        for name in "abcdef"[: self.logs]:
            self.log(name, loss, prog_bar=True)
        return loss

    def seen(self, frame, event, _):
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(PACKAGE):
            self.calls += 1
            self.files.add(file.removeprefix(PACKAGE))
            if frame.f_back is not None and frame.f_back.f_code.co_filename != file:
                self.crossings[f"{file.removeprefix(PACKAGE)}:{frame.f_code.co_name}"] += 1


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """A module's counts by its number of ``self.log`` calls a step."""

    def run(logs):
        module = Counted(logs)
        L.Trainer(
            max_epochs=1,
            accelerator="cpu",
            default_root_dir=tmp_path_factory.mktemp("run"),
            log_every_n_steps=1,
            enable_model_summary=False,
        ).fit(module, loader(samples=2 * (TO + 5)))
        return module

    return {logs: run(logs) for logs in (0, 1, 3)}


def test_a_step_enters_few_files_and_crosses_seldom(counted):
    module = counted[1]
    a_step = sum(module.crossings.values()) / (TO - FROM)
    print(f"a step enters {len(module.files)} files and crosses {a_step:.1f} times", module.crossings)
    assert 0 < len(module.files) <= FILES, sorted(module.files)
    assert 0 < a_step <= CROSSINGS


def test_another_log_costs_few_calls(counted):
    extra = (counted[3].calls - counted[1].calls) / 2 / (TO - FROM)
    print(f"another self.log costs {extra:.1f} of our calls")
    assert 0 < extra <= CALLS_A_LOG


def test_nothing_is_read_from_the_device_within_a_step(monkeypatch):
    # On torch's meta device nothing can be read: a single ``.item()`` or ``bool()`` would raise.
    read = []
    monkeypatch.setattr(results, "_stacked", lambda tensors: read.append(len(tensors)) or [0.0] * len(tensors))

    class Far(Regression):
        def training_step(self, batch, batch_idx):
            loss = self.error(batch)
            assert loss.is_meta
            self.log_dict({"a": loss, "b": loss.detach()}, prog_bar=True, on_step=True, on_epoch=True)
            return loss

    fit = trainer(gradient_clip_val=1.0, accumulate_grad_batches=2)
    fit.strategy.connect(torch.device("meta"))
    monkeypatch.setattr(fit.strategy, "teardown", lambda: None)  # what is on the meta device can't come back
    monkeypatch.setattr(observation, "FLUSH_EVERY", float("inf"))
    fit.fit(Far(), loader(samples=20))
    assert fit.global_step == 5
    assert read == [30]  # two values and the loss of each of ten batches, in one copy
