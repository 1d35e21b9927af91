"""Loaders: where they come from, how many batches they give, and how a batch reaches the device.

It must not know steps, metrics or callbacks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, SequentialSampler

from lit_studio.base.errors import InvalidTypeError, InvalidValueError, MisconfigurationException
from lit_studio.trainer.batches import move
from lit_studio.trainer.combined_loader import CombinedLoader
from lit_studio.trainer.dispatch import overrides
from lit_studio.trainer.prefetch import LANES, Lane, Uploads
from lit_studio.trainer.seed import WORKERS_VARIABLE, seed_worker

if TYPE_CHECKING:
    from lit_studio.trainer.datamodule import LightningDataModule
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.precision import Precision
    from lit_studio.trainer.strategies import Strategy

CALLS = {"train": "fit", "val": "validate", "test": "test", "predict": "predict"}
TRANSFER = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


@dataclass
class Loaders:
    """The loaders of one stage.

    Attributes:
        given: what the user gave, in its shape.
        flat: the loaders one by one; in training a single one, perhaps a CombinedLoader.
        counts: batches to take of each, ``inf`` where a loader has no length and no limit is set.
    """

    given: Any = None
    flat: list[Any] = field(default_factory=list)
    counts: list[int | float] = field(default_factory=list)


class LookAhead:
    """An iterator without a length, read one batch ahead so that the last one is known as such.

    Args:
        iterator: of batches.
        strategy: of several ranks, for which the last batch is the last that all of them have; None for one.
    """

    def __init__(self, iterator: Iterator[Any], strategy: Any = None):
        self._iterator = iterator
        self._strategy = strategy if strategy is not None and strategy.world_size > 1 else None
        self._ahead: list[Any] = []
        self.is_last = False
        self._fill()

    def _fill(self) -> None:
        try:
            self._ahead.append(next(self._iterator))
        except StopIteration:
            self.is_last = True
        if self._strategy is not None and self._strategy.reduce_boolean_decision(self.is_last, all=False):
            self.is_last = True
            self._ahead.clear()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self._ahead:
            raise StopIteration
        batch = self._ahead.pop()
        self._fill()
        return batch


class Source:
    """Where one call of the Trainer gets its data: what was passed, the datamodule, or the module's own hooks.

    Raises:
        InvalidTypeError: something that was passed can't be iterated.
    """

    def __init__(self, module: LightningModule, datamodule: LightningDataModule | None, passed: dict[str, Any]):
        self.module, self.datamodule = module, datamodule
        self._passed = {word: loaders for word, loaders in passed.items() if loaders is not None}
        for word, loaders in self._passed.items():
            collection = isinstance(loaders, list | tuple | dict)
            where = f"fit({word}_dataloaders" if "val" in passed and len(passed) > 1 else f"{CALLS[word]}(dataloaders"
            parts = CombinedLoader(loaders).flattened if collection else [loaders]
            _check(parts, f"passed to `Trainer.{where}=...)`")

    def has(self, word: str) -> bool:
        """Whether there are loaders for ``train``, ``val``, ``test`` or ``predict``."""
        return word in self._passed or any(overrides(owner, f"{word}_dataloader") for owner in self._owners())

    def get(self, word: str) -> Any:
        """The loaders for ``word`` as the user gives them."""
        if word in self._passed:
            return self._passed[word]
        for owner in self._owners():
            if overrides(owner, f"{word}_dataloader"):
                return getattr(owner, f"{word}_dataloader")()
        return getattr(self.module, f"{word}_dataloader")()  # raises, saying what is missing

    def from_hook(self, word: str) -> bool:
        """Whether asking again gives new loaders."""
        return word not in self._passed

    def prepare(self, strategy: Strategy) -> None:
        """Call ``prepare_data`` of datamodule and module once on each node, or once in all; the other ranks wait."""
        for owner in self._owners():
            if overrides(owner, "prepare_data"):
                everywhere = getattr(owner, "prepare_data_per_node", True)
                try:
                    if (strategy.local_rank if everywhere else strategy.global_rank) == 0:
                        owner.prepare_data()
                finally:
                    strategy.patient_barrier()

    def _owners(self) -> list[Any]:
        return [owner for owner in (self.datamodule, self.module) if owner is not None]

    def transfer(self, precision: Precision, device: torch.device) -> Transfer | None:
        """What takes a batch and its loader's index to the device; None where there is nothing to do."""
        datamodule, module = self.datamodule, self.module
        own: dict[str, Callable[..., Any] | None] = {}
        for name in TRANSFER:
            owner = datamodule if datamodule is not None and overrides(datamodule, name) else module
            own[name] = getattr(owner, name) if overrides(owner, name) else None
        before, transfer, after = (own[name] for name in TRANSFER)
        convert = precision.convert_input if precision.active and precision.converts_input else None
        hooked = before is not None or transfer is not None or after is not None
        lane = LANES[device.type](device) if device.type in LANES and not hooked else None
        if device.type == "cpu" and lane is None and not (hooked or convert):
            return None

        def to_device(batch: Any, loader: int) -> Any:
            if convert is not None:
                batch = convert(batch)
            if before is not None:
                batch = before(batch, loader)
            batch = transfer(batch, device, loader) if transfer is not None else move(batch, device)
            return after(batch, loader) if after is not None else batch

        return Transfer(to_device, lane)


class Transfer:
    """What takes a batch and its loader's index to the device.

    Args:
        to_device: does so.
        lane: where copies overlap the device's work; None if they must not, because the user's hooks are in between.
    """

    def __init__(self, to_device: Callable[[Any, int], Any], lane: Lane | None):
        self._to_device, self._lane = to_device, lane

    def __call__(self, batch: Any, loader: int) -> Any:
        """``batch`` on the device; ``loader`` is for hooks that ask."""
        return self._to_device(batch, loader)

    def upload(self, batches: Iterator[Any], ahead: int) -> Iterator[Any] | None:
        """The same ``batches`` on the device, see :class:`Uploads`; None if each is to be moved by calling this."""
        lane, to_device = self._lane, self._to_device
        return None if lane is None else Uploads(batches, lambda batch: to_device(batch, 0), lane, ahead)


def training_loaders(given: Any, limit: float, overfit: bool) -> Loaders:
    """Training's loaders; a collection is iterated together, the shorter ones again and again.

    Args:
        given: a loader or a collection of loaders.
        limit: batches (int) or a share (float).
        overfit: whether shuffling is to be switched off.

    Raises:
        InvalidTypeError: something in ``given`` isn't iterable.
        MisconfigurationException: ``limit`` makes no sense with these loaders.
    """
    collection = isinstance(given, list | tuple | dict)
    loader = CombinedLoader(given, "max_size_cycle") if collection else given
    parts = loader.flattened if isinstance(loader, CombinedLoader) else [loader]
    if isinstance(loader, CombinedLoader) and loader.mode == "sequential":
        raise InvalidValueError(
            '`FitLoop` does not support the `CombinedLoader(mode="sequential")` mode: a step takes a batch of each',
            valid='"min_size", "max_size_cycle" or "max_size"',
        )
    _check(parts, "returned from `train_dataloader()`")
    parts = [_adjusted(part, "train", shuffles=not overfit) for part in parts]
    if isinstance(loader, CombinedLoader):
        loader.flattened = parts
        given = loader.iterables
    else:
        given = loader = parts[0]
    count = count_batches(loader, limit, "train")
    if isinstance(loader, CombinedLoader):
        loader.limits = None if count == float("inf") else [count] * len(parts)
    return Loaders(given, [loader], [count])


def evaluation_loaders(given: Any, limit: float, word: str, overfit: bool) -> Loaders:
    """The loaders of validation, test or prediction; a collection is iterated one after the other.

    Args:
        given: a loader, or a collection of loaders.
        limit: batches of each (int) or a share (float).
        word: ``val``, ``test`` or ``predict``.
        overfit: whether shuffling is to be switched off.

    Raises:
        InvalidTypeError, MisconfigurationException: as for :func:`training_loaders`.
    """
    if isinstance(given, CombinedLoader):
        if given.mode != "sequential":
            _check(given.flattened, f"returned from `{word}_dataloader()`")
            return Loaders(given.iterables, [given], [count_batches(given, limit, word)])
        combined = given
    else:
        combined = CombinedLoader(given, "sequential")
    _check(combined.flattened, f"returned from `{word}_dataloader()`")
    for loader in combined.flattened:
        _warn_if_shuffled(loader, word)
    combined.flattened = flat = [_adjusted(loader, word, shuffles=not overfit) for loader in combined.flattened]
    return Loaders(combined.iterables, flat, [count_batches(loader, limit, word) for loader in flat])


def _check(loaders: list[Any], where: str) -> None:
    for loader in loaders:
        if not hasattr(loader, "__iter__") or isinstance(loader, str | bytes):
            raise InvalidTypeError(
                f"An invalid dataloader was {where}: it can't be iterated",
                value=loader,
                valid="a DataLoader or any iterable of batches",
            )


def _adjusted(loader: Any, word: str, shuffles: bool) -> Any:
    """The same loader; with workers seeded if asked for, or a copy without shuffling for ``overfit_batches``."""
    if not isinstance(loader, DataLoader):
        return loader
    if _workers_are_seeded() and loader.worker_init_fn is None and loader.num_workers > 0:
        loader.worker_init_fn = seed_worker
    orders = not isinstance(loader.dataset, IterableDataset) and not isinstance(loader.sampler, SequentialSampler)
    if not shuffles and orders:
        warnings.warn(
            f"You requested to overfit but enabled {word} dataloader shuffling: it is switched off for this fit.",
            stacklevel=2,
        )
        return _in_order(loader)
    return loader


def _in_order(loader: DataLoader[Any]) -> DataLoader[Any]:
    names = ("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context")
    settings: dict[str, Any] = {name: getattr(loader, name) for name in (*names, "generator", "persistent_workers")}
    if loader.num_workers > 0:
        settings["prefetch_factor"] = loader.prefetch_factor
    sampler = SequentialSampler(loader.dataset)  # type: ignore[arg-type]
    if type(loader.batch_sampler) is BatchSampler:
        settings.update(batch_size=loader.batch_size, drop_last=loader.drop_last)
    else:
        settings.update(batch_size=loader.batch_size or 1)
    return DataLoader(loader.dataset, sampler=sampler, **settings)


def _workers_are_seeded() -> bool:
    import os

    return os.environ.get(WORKERS_VARIABLE, "0") == "1"


def _warn_if_shuffled(loader: Any, word: str) -> None:
    if isinstance(loader, DataLoader) and isinstance(loader.sampler, RandomSampler) and word != "train":
        warnings.warn(
            f"Your `{word}_dataloader`'s sampler has shuffling enabled, it is strongly recommended that you turn "
            "shuffling off for val/test dataloaders.",
            stacklevel=2,
        )


def set_epoch(loader: Any, epoch: int) -> None:
    """Tell the samplers of ``loader`` which epoch begins, as those for several ranks want to know."""
    samplers = [getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)]
    samplers.append(getattr(samplers[1], "sampler", None))
    for sampler in {id(one): one for one in samplers}.values():
        tell = getattr(sampler, "set_epoch", None)
        if callable(tell):
            tell(epoch)


def length(loader: Any) -> float:
    """Number of batches, ``inf`` if it can't be known."""
    # ``len`` of a DataLoader over an iterable dataset asks the dataset's, which may have none.
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return float("inf")


def fixed_batch_size(loader: Any) -> int | None:
    """The size of all of ``loader``'s batches but the last; None where they must be counted one by one."""
    usual = isinstance(loader, DataLoader) and type(loader.batch_sampler) is BatchSampler
    return loader.batch_size if usual else None


def count_batches(loader: Any, limit: float, word: str) -> int | float:
    """How many batches to take of ``loader``.

    Args:
        loader: any loader.
        limit: a number of batches (int) or a share from 0 to 1 (float).
        word: ``train``, ``val``, ``test`` or ``predict``, for messages.

    Raises:
        MisconfigurationException: a share of a loader without a length, or one that comes to no batch at all.
    """
    total = length(loader)
    if total == 0:
        warnings.warn(
            f"The {word} dataloader is empty: its length is zero batches. Please make sure this was your intention.",
            stacklevel=2,
        )
        return 0
    if limit == 0:
        return 0
    if isinstance(limit, int):
        return min(limit, total) if total != float("inf") else limit
    if limit == 1.0:
        return total if total == float("inf") else int(total)
    if total == float("inf"):
        raise MisconfigurationException(
            f"When using an `IterableDataset`, `Trainer(limit_{word}_batches)` must be 0.0, `1.0` or an int",
            value=limit,
            advice="An int specifies how many batches to run.",
        )
    count = int(total * limit)
    if count == 0:
        raise MisconfigurationException(
            f"You requested to check {limit} of the `{word}_dataloader` but {limit} * {total:g} < 1",
            advice=f"Please increase the `limit_{word}_batches` argument. Try at least {1 / total:.3g}.",
        )
    return count
