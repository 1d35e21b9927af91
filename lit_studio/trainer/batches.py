"""What can be done with a batch without knowing what is in it: find its tensors, count its samples, move it.

It must not know loaders, hooks or the loop.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lit_studio.base.errors import MisconfigurationException

_SEQUENCES = (list, tuple)
_BLOCKING = ("cpu", "mps")  # where a copy that does not wait could be read before it is complete


def map_tensors(data: Any, function: Callable[[Tensor], Any]) -> Any:
    """``data`` with ``function`` applied to each tensor in nested lists, tuples, mappings and dataclasses."""
    if isinstance(data, Tensor):
        return function(data)
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(map_tensors(item, function) for item in data))
    if isinstance(data, list | tuple):
        items = [map_tensors(item, function) for item in data]
        return items if type(data) is list else type(data)(items)
    if isinstance(data, Mapping):
        mapped = {key: map_tensors(value, function) for key, value in data.items()}
        return mapped if type(data) is dict else _like(data, mapped)
    if is_dataclass(data) and not isinstance(data, type):
        changed = {f.name: map_tensors(getattr(data, f.name), function) for f in fields(data) if f.init}
        return replace(data, **changed)
    return data


def recursive_detach(in_dict: Any, to_cpu: bool = False) -> Any:
    """``in_dict`` with each tensor in it detached, and with ``to_cpu`` on the host."""
    return map_tensors(in_dict, lambda tensor: tensor.detach().cpu() if to_cpu else tensor.detach())


def _like(original: Mapping[Any, Any], mapped: dict[Any, Any]) -> Any:
    kind: Any = type(original)
    return kind(original.default_factory, mapped) if hasattr(original, "default_factory") else kind(mapped)


def move(data: Any, device: torch.device) -> Any:
    """``data`` on ``device``; whatever has a ``.to(device)`` of its own is asked to move itself.

    Tensors in pinned memory go without waiting for the copy.
    """
    keywords = {} if device.type in _BLOCKING else {"non_blocking": True}

    def to(item: Any) -> Any:
        return item.to(device, **keywords)

    if isinstance(data, Tensor):
        return to(data)
    if isinstance(data, list | tuple | Mapping) or is_dataclass(data):
        if hasattr(data, "to"):  # for instance a PackedSequence or a tokenizer's output
            return data.to(device)
        return _map_movable(data, to, device)
    return data.to(device) if hasattr(data, "to") and not isinstance(data, type) else data


def _map_movable(data: Any, to: Callable[[Any], Any], device: torch.device) -> Any:
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(move(item, device) for item in data))
    if isinstance(data, list | tuple):
        return type(data)([move(item, device) for item in data])
    if isinstance(data, Mapping):
        moved = {key: move(value, device) for key, value in data.items()}
        return moved if type(data) is dict else _like(data, moved)
    return map_tensors(data, to)


def as_tensors(data: Any, device: torch.device) -> Any:
    """``data`` with its numbers as tensors on ``device``."""
    if isinstance(data, bool | int | float):
        return torch.tensor(data, device=device)
    if isinstance(data, Mapping):
        return {key: as_tensors(value, device) for key, value in data.items()}
    if isinstance(data, list | tuple):
        items = [as_tensors(item, device) for item in data]
        return type(data)(*items) if hasattr(data, "_fields") else type(data)(items)
    return move(data, device)


def count_samples(batch: Any) -> int:
    """The number of samples in ``batch``: the first tensor's first dimension; 1 if there is none to be found."""
    if type(batch) in _SEQUENCES and batch and type(batch[0]) is Tensor and batch[0].ndim:
        return batch[0].shape[0]  # what nearly every batch is
    while True:
        if isinstance(batch, Tensor):
            return batch.shape[0] if batch.ndim else 1
        if isinstance(batch, list | tuple):
            if not batch:
                return 1
            batch = batch[0]
        elif isinstance(batch, Mapping):
            batch = next(iter(batch.values()), None)
        else:
            return len(batch) if isinstance(batch, str) else next(_sizes(batch), 1)


def infer_batch_size(batch: Any) -> int:
    """The batch size by which an epoch's mean weighs this batch.

    Warns if tensors disagree about it; the first one is taken then.

    Raises:
        MisconfigurationException: there is no tensor in ``batch``.
    """
    if type(batch) in _SEQUENCES and len(batch) == 2:
        one, other = batch  # what nearly every batch is
        if type(one) is Tensor and type(other) is Tensor and one.ndim and other.ndim:
            size = one.shape[0]
            if size == other.shape[0]:
                return size
    sizes = list(_sizes(batch))
    if not sizes:
        raise MisconfigurationException(
            "We could not infer the batch_size from the batch",
            value=type(batch).__name__,
            advice="Either simplify its structure or provide it: self.log(..., batch_size=batch_size).",
        )
    if len(set(sizes)) > 1:
        warnings.warn(
            f"Trying to infer the `batch_size` from an ambiguous collection: the one taken is {sizes[0]}. To avoid "
            "any miscalculation, use `self.log(..., batch_size=batch_size)`.",
            stacklevel=4,
        )
    return sizes[0]


def _sizes(batch: Any) -> Iterator[int]:
    if isinstance(batch, Tensor):
        yield batch.shape[0] if batch.ndim else 1
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from _sizes(value)
    elif isinstance(batch, str):
        yield len(batch)
    elif isinstance(batch, list | tuple):
        for item in batch:
            yield from _sizes(item)
    elif is_dataclass(batch) and not isinstance(batch, type):
        for f in fields(batch):
            yield from _sizes(getattr(batch, f.name))
