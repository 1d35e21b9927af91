"""SpikeDetection: which losses end a fit, and what is noted."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext

import pytest
import torch
from torch.utils.data import DataLoader

import lit_studio as L
from lit_studio.callbacks import SpikeDetection
from lit_studio.fabric.utilities.spike import SpikeDetection as FabricSpikeDetection
from lit_studio.fabric.utilities.spike import TrainingSpikeException
from lit_studio.trainer.module import LightningModule
from lit_studio.trainer.trainer import Trainer


class Losses(LightningModule):
    """Its losses follow a script."""

    def __init__(self, script):
        super().__init__()
        self.layer, self.script = torch.nn.Linear(1, 1), script

    def training_step(self, batch, batch_idx):
        return self.layer(batch).sum() * 0 + self.script[batch_idx]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(tmp_path, script, callback, **kwargs):
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(default_root_dir=tmp_path, accelerator="cpu", max_epochs=1, callbacks=callback, **off, **kwargs)
    trainer.fit(Losses(script), DataLoader(torch.zeros(len(script), 1), batch_size=1))
    return trainer


def spike_at(tmp_path, script, **kwargs):
    """The batch that ended the fit, None if none did."""
    try:
        fit(tmp_path, script, SpikeDetection(**kwargs))
    except TrainingSpikeException as error:
        return error.batch_idx
    return None


@pytest.mark.parametrize(
    ("script", "kwargs", "batch"),
    [
        ([1.0] * 6, {}, None),
        ([1.0, 1.0, 1.0, 2.9, 1.0], {}, None),
        ([1.0, 1.0, 1.0, 3.1, 1.0], {}, 3),
        ([1.0, 1.0, 3.1, 1.0], {"warmup": 3}, None),
        ([1.0, 1.0, 1.6], {"atol": 0.5, "rtol": None}, 2),
        ([1.0, 1.0, 1.6], {"atol": 0.5, "rtol": 2.0}, None),
        ([1.0, 2.0, 3.0, 7.1], {"window": 1}, None),
        ([1.0, 2.0, 2.5, 7.6], {"window": 1}, 3),
        ([1.0, 1.0, 5.0], {"mode": "max"}, None),
        ([5.0, 5.0, 1.0], {"mode": "max", "rtol": 0.5}, 2),
        ([1.0, 1.0, math.nan], {}, 2),
        ([1.0, 1.0, -math.inf], {}, 2),
        ([1.0, 1.0, math.nan, 1.0, 3.1], {"finite_only": False}, 4),
    ],
)
def test_which_loss_is_a_spike(tmp_path, script, kwargs, batch):
    with pytest.warns(UserWarning, match="the loss is") if not all(map(math.isfinite, script)) else nullcontext():
        assert spike_at(tmp_path, script, **kwargs) == batch


@pytest.mark.parametrize("given", [None, "folder", "folder/list.json"])
def test_the_spike_and_the_batch_before_are_noted(tmp_path, given):
    callback = SpikeDetection(exclude_batches_path=None if given is None else tmp_path / given)
    with pytest.raises(RuntimeError, match="Training spike detected in batch 4"):
        fit(tmp_path, [1.0] * 4 + [9.0], callback)
    file = {None: "skip_batches.json", "folder": "folder/skip_batches.json"}.get(given, given)
    assert json.loads((tmp_path / file).read_text()) == callback.bad_batches == [3, 4]


def test_its_state_travels_in_checkpoints(tmp_path):
    trainer = fit(tmp_path, [1.0, 1.2, 1.1], SpikeDetection(rtol=0.5))
    trainer.save_checkpoint(tmp_path / "some.ckpt")
    state = torch.load(tmp_path / "some.ckpt")["callbacks"]["SpikeDetection"]
    again = SpikeDetection(window=3)
    again.load_state_dict(state)
    assert (again.last_val, again.rtol) == (pytest.approx(1.1), 0.5)
    with pytest.raises(TrainingSpikeException):  # judged by what the first one has seen
        again.on_train_batch_end(trainer, trainer.lightning_module, {"loss": torch.tensor(1.7)}, None, 1)


def test_a_loop_of_ones_own_can_use_it(tmp_path):
    fabric = L.Fabric(accelerator="cpu")
    watch = FabricSpikeDetection(exclude_batches_path=tmp_path)
    for index in range(3):
        watch.on_train_batch_end(fabric, torch.tensor(1.0), None, index)
    with pytest.raises(TrainingSpikeException):
        watch.on_train_batch_end(fabric, torch.tensor(4.0), None, 3)
    assert json.loads((tmp_path / "skip_batches.json").read_text()) == [2, 3]


def test_a_step_without_a_loss_and_wrong_arguments_are_refused(tmp_path):
    with pytest.raises(TypeError, match="Tensor, or a Mapping"):
        SpikeDetection().on_train_batch_end(None, None, {}, None, 0)
    with pytest.raises(ValueError, match="Has to be min or max"):
        SpikeDetection(mode="median")
    with pytest.raises(ValueError, match="no room"):
        SpikeDetection(window=0)
