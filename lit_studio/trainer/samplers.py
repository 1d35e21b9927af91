"""Each rank's share of the data: the same loader with a sampler that gives this rank its own samples.

It must not know the loop or models.
"""

from __future__ import annotations

import copy
import functools
import os
import warnings
from collections.abc import Iterator, Sized
from dataclasses import dataclass
from typing import Any

from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
)

from lit_studio.base.errors import InvalidTypeError
from lit_studio.trainer.combined_loader import CombinedLoader
from lit_studio.trainer.data import Loaders, count_batches
from lit_studio.trainer.seed import SEED_VARIABLE, WORKERS_VARIABLE, seed_worker


@dataclass(frozen=True)
class Sharing:
    """How loaders are shared among ranks.

    Attributes:
        strategy: who this rank is, and how it asks the others.
        wanted: whether samplers are replaced; if not, the user has shared the data out.
    """

    strategy: Any
    wanted: bool = True

    def share_all(self, loaders: Loaders, limit: float, word: str) -> Loaders:
        """All loaders of a stage, with the batches that are left of each.

        Args:
            loaders: as the user gave them.
            limit: batches (int) or a share (float) of each.
            word: ``train``, ``val``, ``test`` or ``predict``.

        Raises:
            InvalidTypeError: a batch sampler whose own sampler can't be replaced.
        """
        if self.strategy.world_size == 1:
            return loaders
        flat = [self._share_parts(loader, word) for loader in loaders.flat]
        counts = [count_batches(loader, limit, word) for loader in flat]
        if word == "train":
            counts = self.agree(counts, word)
        for loader, count in zip(flat, counts, strict=True):
            if isinstance(loader, CombinedLoader) and loader.limits:
                loader.limits = [count] * len(loader.flattened)
        return Loaders(_in_shape_of(loaders.given, flat), flat, counts)

    def _share_parts(self, loader: Any, word: str) -> Any:
        if isinstance(loader, CombinedLoader):
            loader.flattened = [self.share(part, word) for part in loader.flattened]
            return loader
        return self.share(loader, word)

    def share(self, loader: Any, word: str, shuffle: bool | None = None) -> Any:
        """``loader``, or a copy of it that gives this rank's part.

        Args:
            loader: any; one that can't be shared out is given back as it is.
            word: ``train``, ``val``, ``test`` or ``predict``.
            shuffle: whether to shuffle; by default as the loader does.

        Raises:
            InvalidTypeError: a batch sampler whose own sampler can't be replaced.
        """
        if self.strategy.world_size == 1 or not isinstance(loader, DataLoader):
            return loader
        seed_workers(loader, self.strategy.global_rank)
        if not self.wanted or isinstance(loader.dataset, IterableDataset) or _is_shared(loader):
            return loader
        if word == "test":
            warnings.warn(
                "Using `DistributedSampler` with the dataloaders. During `trainer.test()`, it is recommended to use "
                "`Trainer(devices=1, num_nodes=1)` to ensure each sample/batch gets evaluated exactly once.",
                stacklevel=2,
            )
        if shuffle is None:
            shuffle = isinstance(loader.sampler, RandomSampler)
        return with_sampler(loader, self._sampler(loader, word, shuffle))

    def _sampler(self, loader: DataLoader[Any], word: str, shuffle: bool) -> Sampler[Any]:
        own = loader.sampler if loader.batch_sampler is None else _sampler_of(loader.batch_sampler)
        usual = isinstance(own, SequentialSampler) or (
            isinstance(own, RandomSampler) and not own.replacement and own.num_samples == len(own.data_source)
        )
        keywords: dict[str, Any] = {
            "num_replicas": self.strategy.world_size,
            "rank": self.strategy.global_rank,
            "seed": int(os.environ.get(SEED_VARIABLE, "0")),
        }
        if word == "predict":
            return UnrepeatedDistributedSampler(loader.dataset if usual else _Drawn(own), shuffle=False, **keywords)
        if usual:
            return DistributedSampler(loader.dataset, shuffle=shuffle, **keywords)
        return DistributedSamplerWrapper(own, shuffle=False, **keywords)

    def agree(self, counts: list[int | float], word: str) -> list[int | float]:
        """The batches of each loader that all ranks have; a rank with more leaves the rest out, with a warning."""
        if self.strategy.world_size == 1:
            return counts
        endless = 1 << 60
        own = [endless if count == float("inf") else int(count) for count in counts]
        least = [-number for number in self.strategy.largest([-number for number in own])]
        if least != own:
            warnings.warn(
                f"The ranks have different numbers of batches in the {word} dataloader (this one has {own}): each "
                f"takes {least}.",
                stacklevel=2,
            )
        return [float("inf") if number == endless else number for number in least]


def _in_shape_of(given: Any, flat: list[Any]) -> Any:
    """``flat``, a stage's loaders, in the shape in which the user gave them."""
    if isinstance(given, list | tuple | dict):
        again = CombinedLoader(given)
        again.flattened = flat[0].flattened if isinstance(flat[0], CombinedLoader) else flat
        return again.iterables
    return given if isinstance(given, CombinedLoader) else flat[0]


def _is_shared(loader: DataLoader[Any]) -> bool:
    samplers = (loader.sampler, loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None))
    return any(isinstance(one, DistributedSampler) for one in samplers)


def _sampler_of(batches: Any) -> Any:
    found = getattr(batches, "sampler", None)
    if found is None:
        raise InvalidTypeError(
            "Lit Studio can't inject a (distributed) sampler into your batch sampler, because it doesn't subclass "
            "PyTorch's `BatchSampler`",
            value=type(batches).__name__,
            advice="Keep the sampler in its attribute `sampler`, or set Trainer(use_distributed_sampler=False) and "
            "share the data out yourself.",
        )
    return found


def with_sampler(loader: DataLoader[Any], sampler: Sampler[Any]) -> DataLoader[Any]:
    """A copy of ``loader``, whatever its class, that draws from ``sampler``."""
    found = copy.copy(loader)
    found.__dict__["_iterator"] = None  # of persistent workers; those are the other loader's
    batches: Any = loader.batch_sampler
    if batches is not None:
        batches = copy.copy(batches)
        batches.sampler = sampler
        found.__dict__["batch_sampler"] = batches
    found.__dict__["sampler"] = sampler  # a DataLoader refuses to have it set the usual way
    return found


def seed_workers(loader: DataLoader[Any], rank: int) -> None:
    """Let each worker of each rank have a seed of its own, if ``seed_everything`` was asked for that."""
    asked = os.environ.get(WORKERS_VARIABLE) == "1" and loader.num_workers > 0
    if asked and loader.worker_init_fn in (None, seed_worker):
        loader.worker_init_fn = functools.partial(seed_worker, rank=rank)


class _Drawn(Dataset[Any]):
    """What a sampler of the user's draws, as a dataset: drawn anew each time it is asked for its length."""

    def __init__(self, sampler: Any):
        if not isinstance(sampler, Sized):
            raise InvalidTypeError(
                "A sampler needs a length to be shared out among ranks", value=type(sampler).__name__, valid="__len__"
            )
        self.sampler: Any = sampler
        self._drawn: list[Any] = []

    def __getitem__(self, index: int) -> Any:
        return self._drawn[index]

    def __len__(self) -> int:
        return len(self.sampler)

    def draw(self) -> None:
        """Ask the sampler once more."""
        self._drawn = list(self.sampler)


class DistributedSamplerWrapper(DistributedSampler[Any]):
    """Each rank's share of what another sampler draws; that sampler must draw the same on all ranks.

    Args:
        sampler: any sampler with a length.
        kwargs: as for torch's DistributedSampler.
    """

    def __init__(self, sampler: Any, **kwargs: Any):
        self._drawn = _Drawn(sampler)
        super().__init__(self._drawn, **kwargs)

    def __iter__(self) -> Iterator[Any]:
        self._drawn.draw()
        return (self._drawn[index] for index in super().__iter__())

    def set_epoch(self, epoch: int) -> None:
        """Tell the other sampler too, where it wants to know."""
        super().set_epoch(epoch)
        if callable(getattr(self._drawn.sampler, "set_epoch", None)):
            self._drawn.sampler.set_epoch(epoch)


class UnrepeatedDistributedSampler(DistributedSampler[Any]):
    """A share in which no sample comes twice to make the ranks' shares equal; for prediction."""

    def __init__(self, dataset: Any, **kwargs: Any):
        super().__init__(dataset, **kwargs)
        self.num_samples = len(range(self.rank, len(dataset), self.num_replicas))
        self.total_size = len(dataset)

    def __iter__(self) -> Iterator[Any]:
        own = range(self.rank, self.total_size, self.num_replicas)
        if isinstance(self.dataset, _Drawn):
            self.dataset.draw()
            return (self.dataset[index] for index in own)
        return iter(own)
