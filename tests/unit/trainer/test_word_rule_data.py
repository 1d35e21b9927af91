"""Where loaders come from, when they are asked for again, and what a hook with several of them must take."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler, WeightedRandomSampler

import lit_studio as L
from lit_studio.pytorch.utilities import CombinedLoader
from tests.unit.trainer.models import Regression, Validated, loader, trainer


@pytest.mark.parametrize(
    ("sanity", "every", "reload", "asked"),
    [(0, 3, 4, [2, 8]), (1, 3, 4, [0, 2, 8]), (0, 2, 1, [1, 3, 5, 7, 9]), (1, 1, 3, [0, 3, 6, 9])],
)
def test_validation_loaders_are_asked_for_when_they_are_due_and_used(sanity, every, reload, asked):
    seen = []

    class Own(Validated):
        def train_dataloader(self):
            return loader(2)

        def val_dataloader(self):
            seen.append(self.current_epoch)
            return loader(2)

    trainer(
        max_epochs=10,
        num_sanity_val_steps=sanity,
        check_val_every_n_epoch=every,
        reload_dataloaders_every_n_epochs=reload,
    ).fit(Own())
    assert seen == asked


def test_overfitting_orders_every_loader_whatever_shuffles_it():
    def shuffled():
        dataset = loader().dataset
        return DataLoader(dataset, sampler=WeightedRandomSampler([1.0] * 8, 8))

    class Own(Validated):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch[0], batch_idx)

        def train_dataloader(self):
            return [shuffled(), DataLoader(loader().dataset, sampler=RandomSampler(loader().dataset))]

        def val_dataloader(self):
            return shuffled()

    fit = trainer(overfit_batches=2)
    with pytest.warns(UserWarning, match="enabled (train|val) dataloader shuffling") as noted:
        fit.fit(Own())
    assert {str(one.message).split()[6] for one in noted} >= {"train", "val"}
    assert all(isinstance(one.sampler, SequentialSampler) for one in fit.train_dataloader)
    assert isinstance(fit.val_dataloaders.sampler, SequentialSampler)


def test_a_list_of_plain_values_is_one_loader():
    class Own(L.LightningModule):
        def predict_step(self, batch, batch_idx, dataloader_idx=0):
            return batch * 10 + dataloader_idx

    assert trainer().predict(Own(), [0, 1]) == [0, 10]
    assert trainer().predict(Own(), {"a": [1, 2], "b": range(2)}) == [[10, 20], [1, 11]]
    assert CombinedLoader([[1, 2], [3, 4]]).flattened == [[1, 2], [3, 4]]


def test_a_loader_that_cannot_be_iterated_is_named_with_its_argument():
    with pytest.raises(TypeError, match=r"invalid dataloader was passed to `Trainer\.fit\(val_dataloaders"):
        trainer().fit(Validated(), loader(), 1)
    with pytest.raises(TypeError, match=r"invalid dataloader was passed to `Trainer\.predict\(dataloaders"):
        trainer().predict(Validated(), object())


@pytest.mark.parametrize("name", ["test_step", "on_test_batch_start", "on_test_batch_end"])
def test_a_hook_takes_dataloader_idx_where_there_are_several_loaders_and_only_there(name):
    class Bare(L.LightningModule):
        def test_step(self, batch, batch_idx, dataloader_idx=0): ...

    arguments = "self, outputs, batch, batch_idx" if name.endswith("end") else "self, batch, batch_idx"
    without, needing = {}, {}
    exec(f"def {name}({arguments}): ...", without)
    exec(f"def {name}({arguments}, dataloader_idx): ...", needing)
    one = type("One", (Bare,), {name: needing[name]})()
    with pytest.raises(RuntimeError, match="only a single `test_dataloader`, but have included `dataloader_idx`"):
        trainer().test(one, loader())
    trainer().test(one, [loader(), loader()])
    several = type("Several", (Bare,), {name: without[name]})()
    with pytest.raises(RuntimeError, match="multiple `test_dataloader`, but no `dataloader_idx`"):
        trainer().test(several, [loader(), loader()])


def test_samplers_are_told_the_epoch_once_before_each_pass():
    told = []

    class Told(SequentialSampler):
        def __init__(self, name):
            super().__init__(range(2))
            self.name = name

        def set_epoch(self, epoch):
            told.append((self.name, epoch))

    def own(name):
        return DataLoader(loader(2).dataset, sampler=Told(name))

    trainer(max_epochs=2).fit(Validated(), own("train"), own("val"))
    assert told == [("train", 0), ("val", 0), ("train", 1), ("val", 1)]


def test_a_validation_that_is_switched_off_needs_no_possible_interval():
    trainer(val_check_interval=10, limit_val_batches=0).fit(Validated(), loader(4), loader(4))


def test_a_datamodule_from_datasets_gets_the_arguments_that_it_takes():
    class Own(L.LightningDataModule):
        def __init__(self, batch_size=1, note=""):
            super().__init__()
            self.batch_size, self.note = batch_size, note

    made = Own.from_datasets(loader().dataset, val_dataset=[loader().dataset] * 2, batch_size=4, note="n")
    assert (made.batch_size, made.note) == (4, "n")
    assert str(made).splitlines() == [
        "{Train dataloader: size=8}",
        "{Validation dataloader: 1. size=8 ; 2. size=8}",
        "{Test dataloader: None}",
        "{Predict dataloader: None}",
    ]


def test_predictions_are_one_list_for_one_loader():
    predicting = trainer()
    predicting.predict(Regression(), loader(4))
    assert [tuple(one.shape) for one in predicting.predict_loop.predictions] == [(2, 1), (2, 1)]
    assert predicting.predict_loop.epoch_batch_indices == [[[0, 1], [2, 3]]]
    predicting.predict(Regression(), loader(4), return_predictions=False)
    assert predicting.predict_loop.epoch_batch_indices == [[]]

    class Several(Regression):
        def predict_step(self, batch, batch_idx, dataloader_idx):
            return dataloader_idx

    assert predicting.predict(Several(), [loader(2), loader(4)]) == [[0], [1, 1]] == predicting.predict_loop.predictions


@pytest.mark.parametrize("hooked", [False, True])
def test_a_batch_that_is_none_is_passed_over(hooked):
    steps, ends = [], []

    class Own(Regression):
        def training_step(self, batch, batch_idx):
            steps.append(batch_idx)
            return super().training_step(batch, batch_idx)

    def every_second(samples):
        made.append(len(made))
        return None if len(made) % 2 else tuple(map(torch.stack, zip(*samples, strict=True)))

    made: list[int] = []
    callback = L.Callback()
    if hooked:
        callback.on_train_batch_end = lambda t, m, outputs, batch, i: ends.append((i, batch is None, outputs is None))
    fit = trainer(callbacks=[callback])
    with pytest.warns(UserWarning, match="train_dataloader yielded None"):
        fit.fit(Own(), loader(8, collate_fn=every_second))
    assert steps == [1, 3]
    assert fit.global_step == 2
    assert ends == [(i, i % 2 == 0, i % 2 == 0) for i in range(4) if hooked]


def test_an_evaluation_without_batches_asks_for_no_loader():
    asked = []

    class Own(Validated):
        def val_dataloader(self):
            asked.append("val")
            return loader()

    assert trainer(limit_val_batches=0).validate(Own(), verbose=False) == []
    assert asked == []
