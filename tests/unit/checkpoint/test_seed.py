"""Seeding and isolating random numbers."""

from __future__ import annotations

import os
import random
import sys

import numpy
import pytest
import torch

from lit_studio.trainer.seed import isolate_rng, reset_seed, seed_everything, seed_worker


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No seed from outside, none left behind."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "")
    monkeypatch.setenv("PL_SEED_WORKERS", "")
    monkeypatch.delenv("PL_GLOBAL_SEED")
    with isolate_rng():
        yield


def draw():
    return random.random(), float(numpy.random.rand()), float(torch.rand(()))


def test_everything_repeats():
    assert seed_everything(11) == 11
    first = draw()
    assert draw() != first
    assert seed_everything(11) == 11
    assert draw() == first
    reset_seed()
    assert draw() == first


def test_the_environment_carries_seed_and_workers():
    seed_everything(7, workers=True)
    assert (os.environ["PL_GLOBAL_SEED"], os.environ["PL_SEED_WORKERS"]) == ("7", "1")
    assert seed_everything() == 7
    assert os.environ["PL_SEED_WORKERS"] == "0"


@pytest.mark.parametrize("seed", [-1, 2**32, "seven", 2**70])
def test_a_useless_seed_is_replaced_with_a_warning(seed):
    with pytest.warns(UserWarning, match="the seed is 0"):
        assert seed_everything(seed) == 0


def test_no_seed_at_all():
    with pytest.warns(UserWarning, match="PL_GLOBAL_SEED is not set"):
        assert seed_everything() == 0


def test_isolation_puts_everything_back_even_after_an_error():
    seed_everything(3)
    before = draw()
    seed_everything(3)
    with pytest.raises(KeyError), isolate_rng():
        {}[seed_everything(99), draw()]
    assert draw() == before


def test_workers_differ_from_each_other_and_repeat():
    def numbers(worker, rank):
        torch.manual_seed(1000 + worker)  # what torch does in worker i
        seed_worker(worker, rank)
        return draw()

    seen = {numbers(worker, rank) for worker in range(4) for rank in range(3)}
    assert len(seen) == 12
    assert len({value for drawn in seen for value in drawn}) == 36
    assert numbers(2, 1) in seen


def test_numpy_is_not_imported_for_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "numpy")
    seed_everything(1, verbose=False)
    with isolate_rng():
        seed_worker(0)
    assert "numpy" not in sys.modules
