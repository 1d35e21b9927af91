"""``Tuner.scale_batch_size``: which sizes are tried, and that a Trainer and a module are afterwards as before."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import lit_studio as L
from lit_studio.pytorch.tuner import Tuner
from tests.unit.trainer.models import OFF, loader, seeded, trainer
from tests.unit.trainer.tuned import Sized, assert_same, whole_state

DOUBLED = [2, 4, 8, 16, 32, 64, 128]


@pytest.mark.parametrize(
    ("kwargs", "found", "sizes"),
    [
        ({}, 64, DOUBLED),
        ({"mode": "binsearch"}, 95, [*DOUBLED, 96, 112, 104, 100, 102, 101]),
        ({"mode": "binsearch", "margin": 0.0}, 100, [*DOUBLED, 96, 112, 104, 100, 102, 101]),
        ({"mode": "binsearch", "margin": 0.5}, 50, [*DOUBLED, 96, 112, 104, 100, 102, 101]),
        ({"max_trials": 3}, 8, [2, 4, 8]),
        ({"mode": "binsearch", "max_trials": 4, "margin": 0}, 16, [2, 4, 8, 16]),
        ({"max_val": 50}, 50, [2, 4, 8, 16, 32, 50]),
        ({"init_val": 256}, 64, [256, 128, 64]),
        ({"init_val": 256, "mode": "binsearch", "margin": 0}, 100, [256, 128, 64, 96, 112, 104, 100, 102, 101]),
        ({"init_val": 48, "steps_per_trial": 1}, 96, [48, 96, 192]),
    ],
)
def test_sizes_are_tried_until_memory_is_exhausted(tmp_path, kwargs, found, sizes):
    t, module = trainer(tmp_path, max_epochs=2), seeded(Sized)
    before = whole_state(t, module)
    assert Tuner(t).scale_batch_size(module, **kwargs) == found == module.batch_size
    assert module.sizes == sizes
    assert_same(before, whole_state(t, module))


def test_a_batch_that_holds_all_samples_is_enough(tmp_path, caplog):
    caplog.set_level("INFO", "lit_studio")
    module = seeded(Sized, room=1000, samples=100)
    assert Tuner(trainer(tmp_path)).scale_batch_size(module) == 128
    assert module.sizes[-1] == 100
    assert "The batch size 128 is greater or equal than the length of your dataset: 100" in caplog.text
    large = seeded(Sized, batch_size=300, room=1000, samples=100)
    assert Tuner(trainer(tmp_path)).scale_batch_size(large) == 300
    assert large.sizes == [100]


@pytest.mark.parametrize(("method", "step"), [("validate", "validation"), ("test", "test"), ("predict", "predict")])
def test_the_other_calls_have_sizes_of_their_own(tmp_path, method, step):
    t, module = trainer(tmp_path), seeded(Sized, at=step)
    before = whole_state(t, module)
    assert Tuner(t).scale_batch_size(module, method=method) == 64 == module.batch_size
    assert [size for size in module.sizes if size in DOUBLED] == DOUBLED
    assert_same(before, whole_state(t, module))


def test_memory_exhausted_in_a_fits_validation_leaves_no_module_in_evaluation_mode(tmp_path):
    class Watched(Sized):
        def training_step(self, batch, batch_idx):
            assert all(part.training for part in self.modules())
            return super().training_step(batch, batch_idx)

    t = trainer(tmp_path, max_epochs=2, val_check_interval=1)
    module = seeded(Watched, at="validation")
    assert Tuner(t).scale_batch_size(module) == 64


def test_memory_that_is_too_small_for_one_sample_is_an_error(tmp_path):
    for mode in ("power", "binsearch"):
        module = seeded(Sized, room=0)
        with pytest.raises(RuntimeError, match="out of memory") as caught:
            Tuner(trainer(tmp_path)).scale_batch_size(module, mode=mode)
        assert "batch size of 1" in caught.value.__notes__[0]
        assert module.batch_size == 7


def test_another_error_ends_the_search_and_the_size_is_as_before(tmp_path):
    class Failing(Sized):
        def training_step(self, batch, batch_idx):
            if len(batch[0]) > 8:
                raise RuntimeError("shapes differ")
            return super().training_step(batch, batch_idx)

    t, module = trainer(tmp_path), seeded(Failing)
    before = whole_state(t, module)
    with pytest.raises(RuntimeError, match="shapes differ"):
        Tuner(t).scale_batch_size(module)
    assert module.batch_size == 7
    assert_same(before, whole_state(t, module))


def test_the_size_may_live_in_a_datamodule_or_in_hyperparameters(tmp_path):
    class Data(L.LightningDataModule):
        def __init__(self, batch_size=4):
            super().__init__()
            self.save_hyperparameters()

        def train_dataloader(self):
            return loader(500, self.hparams.batch_size)

    class Plain(Sized):
        def __init__(self):
            super().__init__()
            del self.batch_size

    module, data = seeded(Plain), Data()
    assert Tuner(trainer(tmp_path, limit_val_batches=0)).scale_batch_size(module, datamodule=data) == 64
    assert data.hparams.batch_size == 64
    assert not hasattr(module, "batch_size")


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"train_dataloaders": loader(8)}, L.MisconfigurationException, "cannot be used with dataloaders passed"),
        ({"batch_arg_name": "size"}, L.MisconfigurationException, "Field size not found"),
        ({"method": "train"}, ValueError, "method 'train' is invalid"),
        ({"method": "test", "train_dataloaders": [1]}, L.MisconfigurationException, "should be None"),
        ({"margin": 1.0}, ValueError, "`margin` should be between"),
        ({"mode": "cubic"}, ValueError, "`mode` should be either of"),
        ({"init_val": 0}, ValueError, "`init_val` is too small"),
    ],
)
def test_a_search_that_cannot_work_is_refused(tmp_path, kwargs, error, words):
    module = seeded(Sized)
    with pytest.raises(error, match=words):
        Tuner(trainer(tmp_path)).scale_batch_size(module, **kwargs)
    assert module.sizes == []
    assert module.batch_size == 7


def test_several_loaders_are_refused_outside_a_fit(tmp_path):
    class Two(Sized):
        def val_dataloader(self):
            return [self._loader(), self._loader()]

        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            super().validation_step(batch, batch_idx)

    with pytest.raises(L.MisconfigurationException, match="multiple val dataloaders"):
        Tuner(trainer(tmp_path)).scale_batch_size(seeded(Two), method="validate")


def test_the_tuner_leaves_no_run_and_no_checkpoint(tmp_path):
    t = L.Trainer(default_root_dir=tmp_path, accelerator="cpu", max_epochs=2, **{**OFF, "logger": True})
    module = seeded(Sized)
    Tuner(t).scale_batch_size(module)
    Tuner(t).lr_find(module)
    assert list(tmp_path.iterdir()) == []
    t.fit(module)
    assert t.global_step == 2 * math.ceil(500 / 64)


def test_a_search_without_a_length_of_the_data_ends_at_max_val(tmp_path):
    class Endless(torch.utils.data.IterableDataset):
        def __iter__(self):
            while True:
                yield torch.randn(4), torch.randn(1)

    class Streaming(Sized):
        def train_dataloader(self):
            return DataLoader(Endless(), batch_size=self.batch_size)

        def val_dataloader(self):
            return DataLoader(TensorDataset(torch.randn(4, 4), torch.randn(4, 1)), batch_size=2)

    module = seeded(Streaming, room=10**6)
    assert Tuner(trainer(tmp_path)).scale_batch_size(module, max_val=64) == 64
