"""CombinedLoader: when each mode stops and what it gives."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

from lit_studio.base.errors import InvalidStateError, InvalidTypeError, InvalidValueError
from lit_studio.trainer.combined_loader import CombinedLoader


class Loader(list):
    """A list that is a loader (plain lists are collections of loaders)."""


def of(*batches):
    return Loader(batches)


def drain(combined):
    return list(combined)


def test_min_size_stops_with_the_shortest():
    combined = CombinedLoader({"a": of(1, 2, 3), "b": "xy"}, "min_size")
    assert len(combined) == 2
    assert drain(combined) == [({"a": 1, "b": "x"}, 0, 0), ({"a": 2, "b": "y"}, 1, 0)]


def test_max_size_gives_none_for_a_spent_loader():
    combined = CombinedLoader([of(1, 2, 3), of(7)], "max_size")
    assert len(combined) == 3
    assert [batch for batch, _, _ in combined] == [[1, 7], [2, None], [3, None]]


def test_max_size_cycle_starts_the_shorter_ones_again():
    combined = CombinedLoader([of(1, 2, 3, 4, 5), of(7, 8)], "max_size_cycle")
    assert len(combined) == 5
    assert [batch for batch, _, _ in combined] == [[1, 7], [2, 8], [3, 7], [4, 8], [5, 7]]
    assert [batch for batch, _, _ in CombinedLoader([of(7, 8), of(1, 2, 3)], "max_size_cycle")] == [
        [7, 1],
        [8, 2],
        [7, 3],
    ]


def test_sequential_counts_batches_of_each_loader():
    combined = CombinedLoader([of(1, 2), of(3)], "sequential")
    assert len(combined) == 3
    assert drain(combined) == [(1, 0, 0), (2, 1, 0), (3, 0, 1)]
    combined.limits = [1, float("inf")]
    assert len(combined) == 2
    assert drain(combined) == [(1, 0, 0), (3, 0, 1)]


def test_limits_draw_nothing_beyond_themselves():
    drawn = []

    def loader():
        for i in range(10):
            drawn.append(i)
            yield i

    combined = CombinedLoader([loader()], "sequential")
    combined.limits = [3]
    assert len(drain(combined)) == 3
    assert drawn == [0, 1, 2]
    together = CombinedLoader([of(1, 2, 3), of(4, 5, 6)], "max_size")
    together.limits = [2, 5]
    assert len(together) == len(drain(together)) == 2


@pytest.mark.parametrize("mode", ["min_size", "max_size", "max_size_cycle", "sequential"])
def test_empty_collections_and_loaders(mode):
    assert drain(CombinedLoader([], mode)) == []
    assert drain(CombinedLoader([of(), of()], mode)) == []


def test_an_empty_loader_beside_a_full_one_gives_none_when_cycled():
    assert [batch for batch, _, _ in CombinedLoader([of(1, 2), of()], "max_size_cycle")] == [[1, None], [2, None]]


def test_real_loaders_in_a_nesting():
    loaders = {"a": DataLoader(range(4), batch_size=2), "b": [DataLoader(range(9), batch_size=3)]}
    combined = CombinedLoader(loaders, "max_size")
    batches = [batch for batch, _, _ in combined]
    assert batches[0]["a"].tolist() == [0, 1]
    assert batches[2]["a"] is None
    assert torch.equal(batches[2]["b"][0], torch.tensor([6, 7, 8]))
    assert combined.sampler["b"][0] is loaders["b"][0].sampler
    assert combined.batch_sampler["a"] is loaders["a"].batch_sampler
    assert combined.iterables["b"][0] is loaders["b"][0]


def test_it_can_be_iterated_again():
    combined = CombinedLoader([of(1, 2), of(3, 4)])
    assert drain(combined) == drain(combined)
    next(iter(combined))
    combined.reset()
    with pytest.raises(InvalidStateError, match="after iter"):
        next(combined)


def test_unknown_lengths():
    assert len(CombinedLoader([of(1, 2), iter(of(1))], "min_size")) == 2
    for mode in ("max_size", "max_size_cycle", "sequential"):
        with pytest.raises(InvalidTypeError, match="length"):
            len(CombinedLoader([of(1, 2), iter(of(1))], mode))


def test_loaders_can_be_replaced_one_for_one():
    combined = CombinedLoader({"a": of(1), "b": of(2)})
    combined.flattened = [of(3), of(4)]
    assert drain(combined) == [({"a": 3, "b": 4}, 0, 0)]
    with pytest.raises(InvalidValueError, match=r"length \(1\) and existing length \(2\)"):
        combined.flattened = [of(1)]


def test_unknown_modes_list_the_known_ones():
    with pytest.raises(InvalidValueError, match="min_size, max_size_cycle, max_size, sequential"):
        CombinedLoader([], "longest")
