"""Copies on a stream of their own, and a batch ahead: what is fetched when, by a stand-in for a device's queue."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

import lit_studio as L
from lit_studio.trainer import prefetch
from lit_studio.trainer.prefetch import Uploads, batches_ahead, is_open, tensors_in
from tests.unit.trainer.models import OFF, Regression, loader, trainer


class FakeLane:
    """Copies at once and notes when a copy was started and waited for; a copy that isn't waited for is no batch yet."""

    def __init__(self, device=None):
        self.said = []

    def start(self, copy, batch):
        moved = copy(batch)
        self.said.append(("start", number(moved)))
        return moved

    def finish(self, moved):
        self.said.append(("finish", number(moved)))


def number(batch):
    """The batch's first value."""
    first = next(tensors_in(batch), None)
    return None if first is None else float(first.flatten()[0])


def numbers(count, fetched):
    """Batches 0 … ``count`` − 1; notes in ``fetched`` which were taken."""
    for index in range(count):
        fetched.append(index)
        yield torch.tensor([float(index)])


class Rows(Dataset):
    """20 rows, as the models of these tests want them."""

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return torch.full((4,), float(index)), torch.full((1,), float(index))


@pytest.fixture
def lanes(monkeypatch):
    """Every lane that a fit on the CPU makes, for here the CPU has one."""
    made = []

    def make(device):
        made.append(FakeLane(device))
        return made[-1]

    monkeypatch.setitem(prefetch.LANES, "cpu", make)
    return made


class TestUploads:
    def test_without_looking_ahead_each_batch_is_fetched_when_it_is_asked_for(self):
        lane, fetched = FakeLane(), []
        uploads = Uploads(numbers(3, fetched), lambda batch: batch, lane, ahead=0)
        assert (number(next(uploads)), fetched) == (0, [0])
        assert (number(next(uploads)), fetched) == (1, [0, 1])
        assert lane.said == [("start", 0), ("finish", 0), ("start", 1), ("finish", 1)]

    def test_the_next_copy_begins_when_a_batch_is_handed_out_and_is_not_waited_for(self):
        lane, fetched = FakeLane(), []
        uploads = Uploads(numbers(3, fetched), lambda batch: batch, lane, ahead=3)
        assert (number(next(uploads)), fetched) == (0, [0, 1])
        assert lane.said == [("start", 0), ("finish", 0), ("start", 1)]
        assert [number(batch) for batch in uploads] == [1, 2]
        assert lane.said[-3:] == [("finish", 1), ("start", 2), ("finish", 2)]

    @pytest.mark.parametrize("ahead", [0, 1, 2, 5])
    def test_no_more_is_fetched_than_will_be_used(self, ahead):
        fetched = []
        uploads = Uploads(numbers(10, fetched), lambda batch: batch, FakeLane(), ahead)
        for _ in range(max(1, ahead)):
            next(uploads)
        assert fetched == list(range(max(1, ahead)))

    def test_an_error_belongs_to_its_own_batch(self):
        def broken():
            yield torch.zeros(1)
            raise OSError("no more of it")

        uploads = Uploads(broken(), lambda batch: batch, FakeLane(), ahead=5)
        assert number(next(uploads)) == 0
        with pytest.raises(OSError, match="no more"):
            next(uploads)

    def test_what_moves_itself_is_not_copied_on_the_other_queue(self):
        class Opaque:
            def to(self, device):
                return self

        lane = FakeLane()
        uploads = Uploads(iter([Opaque()]), lambda batch: batch, lane, ahead=0)
        assert isinstance(next(uploads), Opaque)
        assert ("start", None) not in lane.said


def test_tensors_are_found_in_what_batches_are_made_of():
    @dataclass
    class Pair:
        left: torch.Tensor
        right: list

    batch = {"a": (torch.zeros(1), [torch.ones(1)]), "b": Pair(torch.full((1,), 2.0), [torch.full((1,), 3.0), "text"])}
    assert [float(tensor) for tensor in tensors_in(batch)] == [0, 1, 2, 3]
    assert is_open(batch)
    packed = torch.nn.utils.rnn.pack_sequence([torch.zeros(2)])
    assert not is_open([torch.zeros(1), packed])


def test_only_workers_of_a_plain_loader_are_asked_ahead():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(range(3))

    class Placed(DataLoader):
        def state_dict(self):
            return {}

    assert batches_ahead(DataLoader(Rows(), num_workers=2), 7) == 7
    assert batches_ahead(DataLoader(Rows()), 7) == 0
    assert batches_ahead(DataLoader(Stream(), num_workers=1), 7) == 0
    assert batches_ahead(Placed(Rows(), num_workers=1), 7) == 0
    assert batches_ahead([1, 2], 7) == 0


class Trace(Regression):
    """Notes at which batches it was trained, beside what the lane says."""

    def __init__(self, lanes):
        super().__init__()
        self.lanes = lanes

    def training_step(self, batch, batch_idx):
        self.lanes[0].said.append(("step", number(batch)))
        return super().training_step(batch, batch_idx)


def test_a_fit_copies_the_next_batch_before_its_step(lanes):
    data = DataLoader(Rows(), batch_size=4, num_workers=1)
    fit = trainer(max_epochs=1, limit_train_batches=3)
    fit.fit(Trace(lanes), data)
    assert fit.global_step == 3
    assert lanes[0].said == [
        ("start", 0), ("finish", 0), ("start", 4), ("step", 0),
        ("finish", 4), ("start", 8), ("step", 4),
        ("finish", 8), ("step", 8),
    ]  # fmt: skip


def test_a_loader_in_this_process_keeps_its_order_of_random_numbers(lanes):
    fit = trainer(max_epochs=1)
    fit.fit(Trace(lanes), DataLoader(Rows(), batch_size=10))
    assert lanes[0].said == [
        ("start", 0), ("finish", 0), ("step", 0), ("start", 10), ("finish", 10), ("step", 10),
    ]  # fmt: skip


def test_hooks_between_loader_and_step_are_not_overtaken(lanes):
    class Hooked(Trace):
        def on_after_batch_transfer(self, batch, dataloader_idx):
            if not self.lanes:  # the fit made none
                self.lanes.append(FakeLane())
            self.lanes[0].said.append(("hook", number(batch)))
            return batch

    fit = trainer(max_epochs=1)
    fit.fit(Hooked(lanes), DataLoader(Rows(), batch_size=10, num_workers=1))
    assert lanes[0].said == [("hook", 0), ("step", 0), ("hook", 10), ("step", 10)]


def test_a_checkpoint_does_not_count_a_batch_that_was_only_fetched(lanes, tmp_path):
    class Saves(L.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if batch_idx == 1:
                trainer.save_checkpoint(tmp_path / "two.ckpt")

    data = DataLoader(Rows(), batch_size=4, num_workers=1)
    trainer(max_epochs=1, callbacks=[Saves()]).fit(Trace(lanes), data)
    saved = torch.load(tmp_path / "two.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    assert saved["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["ready"] == 2
    lanes.clear()
    again = trainer(max_epochs=1)
    again.fit(Trace(lanes), data, ckpt_path=tmp_path / "two.ckpt")
    assert [value for word, value in lanes[0].said if word == "step"] == [8, 12, 16]
    assert again.global_step == 5


def test_evaluation_copies_on_the_lane_too_and_never_ahead(lanes):
    class Tests(Trace):
        def test_step(self, batch, batch_idx):
            self.lanes[0].said.append(("step", number(batch)))

    trainer().test(Tests(lanes), DataLoader(Rows(), batch_size=10, num_workers=1), verbose=False)
    assert lanes[0].said == [
        ("start", 0), ("finish", 0), ("step", 0), ("start", 10), ("finish", 10), ("step", 10),
    ]  # fmt: skip


def test_training_with_a_lane_learns_the_same(lanes):
    def learned():
        torch.manual_seed(0)
        module = Regression()
        L.Trainer(accelerator="cpu", max_epochs=3, **OFF).fit(module, loader())
        return module.layer.weight.detach().clone()

    with_lane = learned()
    assert lanes
    lanes.clear()
    prefetch.LANES.pop("cpu")
    assert torch.equal(learned(), with_lane)
    assert not lanes
