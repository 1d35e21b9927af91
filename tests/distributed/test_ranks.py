"""Two ranks under torchrun: they train as one, and know of each other what they should."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

import lit_studio as L
from tests.distributed.program import BATCH, QUIET, Regression, dataset


class InGlobalBatches:
    """The order in which two ranks together take the samples: each batch of 8 is one of 4 on each."""

    def __iter__(self):
        per_rank = [list(range(rank, 64, 2)) for rank in (0, 1)]
        for begin in range(0, 32, BATCH):
            yield [index for share in per_rank for index in share[begin : begin + BATCH]]

    def __len__(self):
        return 8


def one_process(tmp_path, **settings):
    off = {"logger": False, "enable_checkpointing": False, "limit_val_batches": 0, **QUIET}
    module, trainer = Regression(), L.Trainer(default_root_dir=tmp_path, **off, **settings)
    trainer.fit(module, DataLoader(dataset(), batch_sampler=InGlobalBatches()))
    return module


def test_they_train_as_one_process_does_on_the_same_global_batches(torchrun, tmp_path):
    module = one_process(tmp_path, max_epochs=3)
    together = [(a + b) / 2 for a, b in zip(torchrun[0]["losses"], torchrun[1]["losses"], strict=True)]
    assert together == pytest.approx(module.losses, abs=1e-6)
    for found in torchrun:
        for mine, theirs in zip(module.parameters(), found["weights"], strict=True):
            assert torch.allclose(mine, torch.tensor(theirs), atol=1e-6)


def test_values_that_are_synchronized_are_the_same_on_both(torchrun):
    first, second = (found["metrics"] for found in torchrun)
    assert (first.pop("own"), second.pop("own")) == (0.0, 1.0)
    assert first == second
    assert (first["mean"], first["sum"], first["min"], first["max"]) == (0.5, 24.0, 1.0, 2.0)
    assert (first["once"], first["once_sum"]) == (0.5, 2.0)


def test_the_epochs_and_the_steps_values_are_means_over_both(torchrun):
    metrics, losses = torchrun[0]["metrics"], [found["losses"] for found in torchrun]
    assert metrics["loss_epoch"] == pytest.approx(sum(losses[0][-8:] + losses[1][-8:]) / 16, abs=1e-6)
    assert metrics["loss_step"] == pytest.approx((losses[0][-1] + losses[1][-1]) / 2, abs=1e-6)


def test_each_knows_its_place(torchrun):
    assert [found["ranks"] for found in torchrun] == [[0, 0, 0, 2], [1, 1, 0, 2]]
    assert [(found["step"], found["epoch"]) for found in torchrun] == [(24, 3)] * 2
    assert torchrun[0]["log_dir"] == torchrun[1]["log_dir"]


def test_one_checkpoint_is_written_and_loads_in_a_plain_module(torchrun):
    best = Path(torchrun[0]["best"])
    assert (torchrun[1]["best"], torchrun[1]["last"]) == (torchrun[0]["best"], torchrun[0]["last"])
    assert sorted(path.name for path in best.parent.iterdir()) == ["epoch=2-step=24.ckpt", "last.ckpt"]
    module = Regression.load_from_checkpoint(best)
    for mine, theirs in zip(module.parameters(), torchrun[0]["weights"], strict=True):
        assert torch.allclose(mine, torch.tensor(theirs))
    assert not any(key.startswith("module.") for key in torch.load(best)["state_dict"])


def test_what_they_gather_reduce_and_broadcast(torchrun):
    for rank, found in enumerate(torchrun):
        assert found["gathered"]["a"] == [[1.0, 2.0], [2.0, 4.0]]
        assert found["gathered"]["b"] == [0, 1]
        assert found["gathered"]["gradient"] == [4.0 * (rank + 1), 8.0 * (rank + 1)]  # of both ranks' losses
        assert found["reduced"] == {"mean": 1.5, "sum": 3.0, "min": 1.0, "max": 2.0}
        assert found["broadcast"] == {"from": 0}
        assert found["decisions"] == [False, True]


def test_each_gets_a_share_of_the_samples(torchrun):
    first, second = torchrun
    assert first["sampler"] == "DistributedSampler"
    assert (first["in_order"], second["in_order"]) == ([[0, 2], [4, 6]], [[1, 3], [5, 0]])  # the first comes twice
    assert (first["batch_sampler"], second["batch_sampler"]) == ([[0, 2], [4, 6]], [[1, 3], [5, 7]])
    assert (first["own_sampler"], second["own_sampler"]) == ([[0], [4], [8]], [[2], [6], [10]])
    assert first["whole"] == second["whole"] == [[0, 1], [2, 3]]


def test_a_shuffled_epoch_has_every_sample_once_and_the_next_another_order(torchrun):
    shares = [list(itertools.chain(*found["shuffled"])) for found in torchrun]
    for half in (slice(0, 4), slice(4, 8)):
        assert sorted(shares[0][half] + shares[1][half]) == list(range(8))
    assert [share[:4] for share in shares] != [share[4:] for share in shares]


def test_a_prediction_repeats_no_sample(torchrun):
    assert [found["predicted"] for found in torchrun] == [[[0], [2], [4]], [[1], [3]]]


def test_data_is_prepared_once(torchrun):
    assert [found["prepared"] for found in torchrun] == [[0], []]


def test_streams_of_unequal_length_end_together(torchrun):
    assert [found["stream"] for found in torchrun] == [[[0], [1], [2]]] * 2
    assert [found["stream_steps"] for found in torchrun] == [3, 3]


def test_a_wish_of_one_rank_stops_both_at_the_same_step(torchrun):
    assert torchrun[0]["stopped_by_rank"] == torchrun[1]["stopped_by_rank"] >= 5
    assert torchrun[0]["by_time"] == torchrun[1]["by_time"] > 5


def test_early_stopping_on_one_rank_stops_both_after_that_epoch(torchrun):
    assert [found["early"] for found in torchrun] == [[2, 1]] * 2


def test_a_persons_requests_reach_both_at_the_same_step(torchrun):
    first, second = torchrun
    assert first["person_paused_at"][0] == first["person_paused_at"][1]
    assert first["person_step"] == second["person_step"] < 200_000
    assert first["person_lr"] == second["person_lr"] == 0.125
    assert first["person_weight"] == second["person_weight"]
    assert first["person_stopped"] is second["person_stopped"] is True


def test_gradients_are_accumulated_before_they_are_shared(torchrun, tmp_path):
    module = one_process(tmp_path, max_epochs=1, accumulate_grad_batches=2)
    for found in torchrun:
        for mine, theirs in zip(module.parameters(), found["accumulated"], strict=True):
            assert torch.allclose(mine, torch.tensor(theirs), atol=1e-6)


def test_manual_optimization_shares_the_gradients_of_every_backward(torchrun):
    # Batches 0 and 1, 2 and 3 …: the mean gradients are 0.5, 2.5, 4.5 and 6.5.
    for found in torchrun:
        assert found["manual"] == [pytest.approx(1 - 0.1 * 14), pytest.approx(1 - 0.1 * 14), 8]


def test_unused_parameters_are_an_error_that_names_the_strategy_to_use(torchrun):
    for found in torchrun:
        assert "parameters that were not used in producing the loss" in found["unused"]
        assert "ddp_find_unused_parameters_true" in found["unused"]
