"""What a step costs in counts, which are the same on every machine: Python calls, and reads that wait for a device.

It must not know which library trains.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.benchmarks.workload import MLP, Batch, Task


class Synchronizations(TorchDispatchMode):
    """Counts the reads of one value out of a tensor: item, float, bool."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


class CallCounter:
    """Counts the Python functions that this thread enters between :meth:`start` and :meth:`stop`."""

    def __init__(self) -> None:
        self.count = 0

    def start(self) -> None:
        """Begin to count."""
        sys.setprofile(self._seen)

    def stop(self) -> None:
        """Count no more."""
        sys.setprofile(None)

    def _seen(self, frame: FrameType, event: str, argument: Any) -> None:
        self.count += event == "call"


class ReadCounter:
    """Counts the reads of tensors' values that an accelerator must wait for: item, float, bool, tolist, numpy."""

    WHOLE = frozenset({"tolist", "numpy"})

    def __init__(self) -> None:
        self.whole, self.mode = 0, Synchronizations()

    def start(self) -> None:
        """Begin to count."""
        self.mode.__enter__()
        sys.setprofile(self._seen)

    def stop(self) -> None:
        """Count no more."""
        sys.setprofile(None)
        self.mode.__exit__(None, None, None)

    @property
    def count(self) -> int:
        """The reads seen."""
        return self.whole + self.mode.count

    def _seen(self, frame: FrameType, event: str, argument: Any) -> None:
        is_read = event == "c_call" and argument.__name__ in self.WHOLE
        self.whole += is_read and isinstance(getattr(argument, "__self__", None), torch.Tensor)


class CountingLoader:
    """Yields batches; after a warm-up it counts calls for some steps, then reads for as many."""

    def __init__(self, task: Task = MLP):
        self.data, self.window = task.batches(), task.counted
        self.warm_up = min(100, task.warm_up)
        self.calls, self.reads = CallCounter(), ReadCounter()

    def __len__(self) -> int:
        return self.warm_up + 2 * self.window + 1

    def __iter__(self) -> Iterator[Batch]:
        middle = self.warm_up + self.window
        for index in range(len(self)):
            if index == self.warm_up:
                self.calls.start()
            elif index == middle:
                self.calls.stop()
                self.reads.start()
            elif index == middle + self.window:
                self.reads.stop()
            yield self.data[index % len(self.data)]

    def counts(self) -> dict[str, float]:
        """Python calls and synchronizing reads, each a step."""
        return {"calls": self.calls.count / self.window, "reads": self.reads.count / self.window}
