"""What can be told of a loader or a batch from outside: lengths, sizes, and how many workers a machine bears.

It must not know what a loader is used for.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sized
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import IterableDataset

from lit_studio.base.errors import InvalidStateError, InvalidValueError
from lit_studio.trainer.batches import infer_batch_size

if TYPE_CHECKING:
    from lit_studio.trainer.strategies import Strategy


def extract_batch_size(batch: Any) -> int:
    """The batch size by which an epoch's mean weighs ``batch``; see ``batches.infer_batch_size``."""
    return infer_batch_size(batch)


def has_iterable_dataset(dataloader: object) -> bool:
    """Whether a loader draws from an ``IterableDataset``."""
    return isinstance(getattr(dataloader, "dataset", None), IterableDataset)


def sized_len(dataloader: object) -> int | None:
    """The number of batches, None where it is unknown."""
    try:
        return len(dataloader) if isinstance(dataloader, Sized) else None
    except (TypeError, NotImplementedError):  # a DataLoader over a dataset without a length
        return None


def has_len(dataloader: object) -> bool:
    """Whether the number of batches is known; warns where it is 0, or a dataset without order claims to know it."""
    number = sized_len(dataloader)
    if number is None:
        return False
    if number == 0:
        warnings.warn(f"`{type(dataloader).__name__}` returned 0 length. Is that what you want?", stacklevel=2)
    _warn_if_guessed(dataloader)
    return True


def has_len_all_ranks(
    dataloader: object, strategy: Strategy, allow_zero_length_dataloader_with_multiple_devices: bool = False
) -> bool:
    """Whether the number of batches is known on this rank, and on no rank 0 while others have some.

    Args:
        dataloader: this rank's.
        strategy: adds up over the ranks.
        allow_zero_length_dataloader_with_multiple_devices: warn only where this rank has none.

    Raises:
        InvalidStateError: this rank has no batches and another has.
    """
    number = sized_len(dataloader)
    if number is None:
        return False
    total = int(strategy.reduce(torch.tensor(number, device=strategy.root_device), reduce_op="sum"))
    name = type(dataloader).__name__
    if total == 0:
        warnings.warn(f"Total length of `{name}` across ranks is zero. Is that what you want?", stacklevel=2)
    elif number == 0:
        problem = f"`{name}` within local rank has zero length"
        if not allow_zero_length_dataloader_with_multiple_devices:
            raise InvalidStateError(problem, advice="Make sure that each rank gets at least 1 batch.")
        warnings.warn(f"{problem}, while other ranks have batches.", stacklevel=2)
    _warn_if_guessed(dataloader)
    return True


def _warn_if_guessed(dataloader: object) -> None:
    if has_iterable_dataset(dataloader):
        warnings.warn(
            "Your `IterableDataset` has `__len__` defined. With several workers it may be inaccurate if each worker "
            "is not configured by itself to avoid having duplicate data.",
            stacklevel=3,
        )


def suggested_max_num_workers(local_world_size: int) -> int:
    """The most workers that a loader should have, so that the machine's cores suffice for all ranks.

    Args:
        local_world_size: processes that train on this machine.

    Raises:
        InvalidValueError: ``local_world_size`` is below 1.
    """
    if local_world_size < 1:
        raise InvalidValueError("`local_world_size` should be >= 1", value=local_world_size)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // local_world_size - 1)
