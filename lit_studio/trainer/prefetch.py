"""Copies to a device that overlap its work: on a stream of their own, and where that is safe a batch ahead.

It must not know steps, hooks or metrics. On a CPU nothing of it is entered.

A copy from pinned memory that is queued on the stream that computes would begin only when the step before it has ended.
On a stream of its own it runs beside that step, and what computes next waits for the copy on the device, not in Python.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset


class Lane(Protocol):
    """A device's second queue, for copies."""

    def start(self, copy: Callable[[Any], Any], batch: Any) -> Any:
        """Queue ``copy(batch)``; what it returns may be used after :meth:`finish`."""

    def finish(self, moved: Any) -> None:
        """Let what computes from now on wait for all copies that were started."""


class CudaLane:
    """A CUDA stream for copies.

    Args:
        device: the device.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def start(self, copy: Callable[[Any], Any], batch: Any) -> Any:
        """Queue ``copy(batch)`` on the lane's stream."""
        with torch.cuda.stream(self._stream):
            return copy(batch)

    def finish(self, moved: Any) -> None:
        """Let the current stream wait, and its memory not be given to another copy before it is through with it."""
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        for tensor in tensors_in(moved):
            if tensor.is_cuda:
                tensor.record_stream(current)


LANES: dict[str, Callable[[torch.device], Lane]] = {"cuda": CudaLane}
"""The kinds of device that have a lane; one more is enough to use it."""


class Uploads:
    """An epoch's batches, on the device.

    Args:
        batches: the loader's iterator.
        copy: takes a batch to the device without waiting for it.
        lane: where.
        ahead: how many batches there still are of which the next may be fetched before it is asked for; 0 fetches none
            early.
    """

    def __init__(self, batches: Iterator[Any], copy: Callable[[Any], Any], lane: Lane, ahead: int):
        self._batches, self._copy, self._lane = batches, copy, lane
        self._left = ahead
        self._next: deque[Any] = deque()
        self._error: Exception | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._next:
            moved = self._next.popleft()
        else:
            moved = self._start()
            self._left -= 1
        self._lane.finish(moved)
        if self._left > 0:
            self._left -= 1
            try:
                self._next.append(self._start())
            except Exception as error:  # noqa: BLE001 - it belongs to the next batch, and is raised for that one
                self._error = error
        return moved

    def _start(self) -> Any:
        batch = next(self._batches)
        # What moves itself hides its tensors, so that nobody could say when their memory is free again.
        return self._lane.start(self._copy, batch) if is_open(batch) else self._copy(batch)


def batches_ahead(loader: Any, count: float) -> int:
    """How many of the ``count`` batches of ``loader`` may be fetched one ahead.

    Only from worker processes, and where all that follows from a batch is the batch: a loader that keeps its place for
    a checkpoint would count a batch that no step has seen, in this process the order of random numbers would change,
    and a stream may depend on what the last step did, such as a replay buffer.
    """
    usual = isinstance(loader, DataLoader) and loader.num_workers > 0 and not hasattr(loader, "state_dict")
    return int(count) if usual and not isinstance(loader.dataset, IterableDataset) else 0


def is_open(batch: Any) -> bool:
    """Whether all tensors of ``batch`` can be found in it: it holds nothing that moves itself by a method ``to``."""
    if isinstance(batch, Tensor):
        return True
    if hasattr(batch, "to") and not isinstance(batch, type):
        return False
    return all(map(is_open, _parts(batch)))


def tensors_in(batch: Any) -> Iterator[Tensor]:
    """All tensors of ``batch``."""
    if isinstance(batch, Tensor):
        yield batch
        return
    for part in _parts(batch):
        yield from tensors_in(part)


def _parts(batch: Any) -> list[Any]:
    if isinstance(batch, list | tuple):
        return list(batch)
    if isinstance(batch, Mapping):
        return list(batch.values())
    if is_dataclass(batch) and not isinstance(batch, type):
        return [getattr(batch, field.name) for field in fields(batch)]
    return []
