"""Advice where a fit waits for its data: when it comes, what it says, and that it comes once."""

from __future__ import annotations

import re
import time
import warnings

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from lit_studio.base.events import WarningRaised
from lit_studio.trainer import starvation
from lit_studio.trainer.starvation import Starvation, advise
from lit_studio.trainer.warning_kinds import PossibleUserWarning
from tests.unit.trainer.models import Regression, Validated, trainer

CPU = torch.device("cpu")


class Slow(Dataset):
    """Takes its time for a row."""

    def __init__(self, seconds, rows=40):
        self.seconds, self.rows = seconds, rows

    def __len__(self):
        return self.rows

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return torch.ones(4), torch.ones(1)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))


class Collector:
    """An observer that keeps warnings."""

    def __init__(self):
        self.seen = []

    def observe(self, event):
        if isinstance(event, WarningRaised):
            self.seen.append(event)

    def close(self):
        pass


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(starvation, "SECONDS", 0.3)


def shares(looks):
    watch = Starvation()
    return [watch.look(now, waited, CPU) for now, waited in looks]


def test_it_speaks_once_and_only_after_seconds_of_training():
    found = shares([(second, 0.5 * second) for second in range(10)])
    assert found == [None] * 4 + [0.5] + [None] * 5


def test_a_little_waiting_is_nothing():
    assert set(shares([(second, 0.19 * second) for second in range(50)])) == {None}


def test_what_is_not_training_does_not_count():
    watch = Starvation()
    watch.look(0.0, 0.0, CPU)
    watch.look_away()
    assert watch.look(100.0, 60.0, CPU) is None  # a long validation, whose waiting is another matter
    assert [watch.look(100.0 + second, 60.0, CPU) for second in range(1, 9)] == [None] * 8


def test_a_busy_device_is_not_starved(monkeypatch):
    monkeypatch.setattr(starvation, "is_idle", lambda device: False)
    assert set(shares([(second, 0.9 * second) for second in range(20)])) == {None}


@pytest.mark.parametrize(
    ("loader", "most", "says", "leaves_out"),
    [
        (DataLoader(Slow(0)), 7, "Try DataLoader(..., num_workers=7, persistent_workers=True).", "pin_memory"),
        (DataLoader(Slow(0), num_workers=1, persistent_workers=True), 7, "(..., num_workers=7).", "persistent"),
        (DataLoader(Slow(0), num_workers=1), 1, "although its num_workers=1", "does not have many workers"),
        (DataLoader(Stream()), 7, "get_worker_info", "pin_memory"),
    ],
)
def test_the_advice_is_a_line_to_paste(loader, most, says, leaves_out):
    text = advise([loader], 0.43, most, pins=False)
    assert says in text
    assert leaves_out not in text
    assert "may be a bottleneck" in text
    assert "43%" in text


def test_a_device_wants_pinned_memory():
    assert "num_workers=3, persistent_workers=True, pin_memory=True" in advise([DataLoader(Slow(0))], 0.5, 3, pins=True)


def test_of_several_loaders_the_one_with_fewest_workers_is_meant():
    loaders = [DataLoader(Slow(0), num_workers=2), [1, 2, 3], DataLoader(Slow(0), num_workers=1)]
    assert "with num_workers=1" in advise(loaders, 0.5, 8, pins=False)


def test_a_fit_that_waits_is_told_once(soon):
    seen = Collector()
    data = DataLoader(Slow(0.02), batch_size=2)
    expected = "does not have many workers which may be a bottleneck"
    with pytest.warns(PossibleUserWarning, match=expected) as caught:
        trainer(max_epochs=3, max_steps=30, observers=[seen]).fit(Regression(), data)
    assert len([one for one in caught if expected in str(one.message)]) == 1
    [warning] = seen.seen
    assert warning.kind == "data-starved"
    share = int(re.search(r"waited for it (\d+)% of the time", warning.message)[1])
    assert share > 60


def test_a_fit_that_computes_is_told_nothing(soon):
    class Works(Regression):
        def training_step(self, batch, batch_idx):
            time.sleep(0.03)
            return super().training_step(batch, batch_idx)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer(max_epochs=2).fit(Works(), DataLoader(Slow(0.001), batch_size=2))


def test_slow_validation_is_no_starving(soon):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast = DataLoader(Slow(0, rows=8), batch_size=4)
        trainer(max_epochs=3).fit(Validated(), fast, DataLoader(Slow(0.02), batch_size=4))


def test_a_loader_of_another_kind_gets_no_advice(soon):
    class Waits:
        def __len__(self):
            return 40

        def __iter__(self):
            for _ in range(40):
                time.sleep(0.02)
                yield torch.ones(2, 4), torch.ones(2, 1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer(max_epochs=1).fit(Regression(), Waits())
