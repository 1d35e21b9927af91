"""Loaders and batches: limits, collections, moving, counting."""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler

import lit_studio as L
from lit_studio.trainer.batches import count_samples, map_tensors, move
from lit_studio.trainer.combined_loader import CombinedLoader
from lit_studio.trainer.data import LookAhead, count_batches, training_loaders
from tests.unit.trainer.models import Regression, Validated, loader, trainer

Pair = namedtuple("Pair", "x y")


@dataclass
class Graph:
    nodes: torch.Tensor
    name: str = "g"
    degree: int = field(init=False, default=2)


def test_tensors_are_found_in_any_nesting():
    batch = {"a": [torch.ones(2), "text", 3], "p": Pair(torch.ones(1), None), "g": Graph(torch.ones(3))}
    doubled = map_tensors(batch, lambda tensor: tensor * 2)
    assert doubled["a"][0].tolist() == [2, 2]
    assert doubled["a"][1:] == ["text", 3]
    assert isinstance(doubled["p"], Pair)
    assert doubled["g"].nodes.tolist() == [2, 2, 2]
    assert batch["a"][0].tolist() == [1, 1]
    assert type(map_tensors(OrderedDict(a=torch.ones(1)), lambda tensor: tensor)) is OrderedDict
    mapped = map_tensors(defaultdict(list, a=torch.ones(1)), lambda tensor: tensor)
    assert mapped["missing"] == []


def test_a_batch_moves_and_what_can_move_itself_is_asked():
    class Own:
        device = "cpu"

        def to(self, device):
            self.device = str(device)
            return self

    moved = move({"t": (torch.ones(1), Own()), "p": Pair(torch.ones(1), 3)}, torch.device("meta"))
    assert moved["t"][0].device.type == moved["p"].x.device.type == "meta"
    assert moved["t"][1].device == "meta"
    assert move("text", torch.device("meta")) == "text"


@pytest.mark.parametrize(
    ("batch", "samples"),
    [
        (torch.ones(5, 2), 5),
        ([torch.ones(3, 2), torch.ones(9)], 3),
        ({"a": {"b": torch.ones(4)}}, 4),
        (torch.tensor(1.0), 1),
        (Graph(torch.ones(6)), 6),
        ([], 1),
        ({}, 1),
        (object(), 1),
    ],
)
def test_samples_are_counted(batch, samples):
    assert count_samples(batch) == samples


@pytest.mark.parametrize(
    ("limit", "batches"), [(1.0, 10), (0.5, 5), (0.0, 0), (0, 0), (3, 3), (99, 10)], ids=lambda value: str(value)
)
def test_limits_of_a_sized_loader(limit, batches):
    assert count_batches(range(10), limit, "train") == batches


class Stream(IterableDataset):
    def __iter__(self):
        yield from range(4)


def test_limits_of_a_stream():
    stream = DataLoader(Stream())
    assert count_batches(stream, 1.0, "val") == math.inf
    assert count_batches(stream, 2, "val") == 2
    with pytest.raises(L.MisconfigurationException, match=r"`IterableDataset`.* `1\.0` or an int"):
        count_batches(stream, 0.5, "val")


def test_a_stream_is_read_one_ahead():
    ahead = LookAhead(iter([1, 2]))
    assert (next(ahead), ahead.is_last) == (1, False)
    assert (next(ahead), ahead.is_last) == (2, True)
    with pytest.raises(StopIteration):
        next(ahead)
    assert LookAhead(iter([])).is_last


def test_overfitting_switches_shuffling_off_in_a_copy():
    shuffled = loader(shuffle=True, drop_last=True)
    with pytest.warns(UserWarning, match="enabled train dataloader shuffling"):
        loaders = training_loaders([shuffled], 1, overfit=True)
    [inner] = loaders.flat[0].flattened
    assert isinstance(inner.sampler, SequentialSampler)
    assert (inner.batch_size, inner.drop_last, inner.dataset) == (2, True, shuffled.dataset)
    assert isinstance(shuffled.sampler, RandomSampler)


def test_a_combined_loader_of_the_users_keeps_its_mode():
    class Paired(Regression):
        def training_step(self, batch, batch_idx):
            first, second = batch
            return self.error(first) + self.error(second)

    fit = trainer()
    fit.fit(Paired(), CombinedLoader([loader(8), loader(4)], "min_size"))
    assert fit.global_step == 2
    limited = trainer(limit_train_batches=3)
    limited.fit(Paired(), [loader(8), loader(4)])
    assert limited.global_step == 3


def test_a_shuffled_validation_loader_is_warned_of():
    with pytest.warns(UserWarning, match="sampler has shuffling enabled"):
        trainer().validate(Validated(), loader(shuffle=True), verbose=False)


def test_workers_get_seeds_of_their_own_when_asked_for(monkeypatch):
    monkeypatch.setenv("PL_SEED_WORKERS", "1")
    given = loader(num_workers=1)
    trainer(limit_train_batches=1).fit(Regression(), given)
    assert given.worker_init_fn is not None


def test_transfer_hooks_of_the_datamodule_win():
    class Changing(L.LightningDataModule):
        seen = []

        def train_dataloader(self):
            return loader()

        def on_before_batch_transfer(self, batch, dataloader_idx):
            self.seen.append(("before", dataloader_idx))
            return batch

        def on_after_batch_transfer(self, batch, dataloader_idx):
            self.seen.append("after")
            return batch[0] * 0, batch[1] * 0

    class Watching(Regression):
        def transfer_batch_to_device(self, batch, device, dataloader_idx):
            Changing.seen.append(("transfer", device.type))
            return super().transfer_batch_to_device(batch, device, dataloader_idx)

        def training_step(self, batch, batch_idx):
            assert batch[0].abs().sum() == 0
            return self.error(batch)

    trainer(limit_train_batches=1).fit(Watching(), Changing())
    assert Changing.seen == [("before", 0), ("transfer", "cpu"), "after"]


def test_samplers_are_told_the_epoch():
    class Sampler(torch.utils.data.Sampler):
        epochs = []

        def set_epoch(self, epoch):
            self.epochs.append(epoch)

        def __iter__(self):
            return iter(range(8))

        def __len__(self):
            return 8

    dataset = loader().dataset
    trainer(max_epochs=3).fit(Regression(), DataLoader(dataset, batch_size=4, sampler=Sampler()))
    assert sorted(set(Sampler.epochs)) == [0, 1, 2]


def test_a_sanity_check_moves_no_random_number():
    class Random(Validated):
        drawn = []

        def validation_step(self, batch, batch_idx):
            torch.rand(3)
            if self.trainer.sanity_checking:
                self.log("only_here", 1.0)

        def training_step(self, batch, batch_idx):
            self.drawn.append(float(torch.rand(1)))
            return super().training_step(batch, batch_idx)

    fits = [trainer(num_sanity_val_steps=steps, limit_val_batches=2) for steps in (0, 2)]
    for fit in fits:
        torch.manual_seed(3)
        fit.fit(Random(), loader(), loader())
    assert Random.drawn[:4] == Random.drawn[4:]
    assert "only_here" not in fits[1].callback_metrics
