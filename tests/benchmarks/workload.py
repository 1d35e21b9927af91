"""The training that the loop benchmarks share: a tiny network, and a loader that times it against a loop by hand.

It must not know which library trains: it hands out batches, and what happens between two of them is a step.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

FEATURES = 32
BATCH = 32
BLOCK = 50
STEPS = 2_500
WARM_UP = 400

Batch = tuple[torch.Tensor, torch.Tensor]


def network() -> nn.Module:
    """32 → 32 → 32 with a ReLU between, the same weights each time."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, FEATURES))


def batches() -> list[Batch]:
    """64 batches of 32 random rows and targets, the same each time."""
    generator = torch.Generator().manual_seed(0)
    return [tuple(torch.randn(BATCH, FEATURES, generator=generator) for _ in range(2)) for _ in range(64)]  # type: ignore[misc]


def loss_of(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Mean squared error of ``model`` on ``batch``."""
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    """Plain SGD."""
    return torch.optim.SGD(model.parameters(), lr=1e-3)


def by_hand() -> Callable[[int], None]:
    """A hand-written loop over a network of its own; call it with the number of steps to go on."""
    model, data = network(), batches()
    optimizer = optimizer_of(model)
    model.train()
    at = 0

    def train(steps: int) -> None:
        nonlocal at
        with torch.enable_grad():
            for index in range(at, at + steps):
                loss = loss_of(model, data[index % len(data)])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        at += steps

    train(WARM_UP)
    return train


@dataclass
class Timing:
    """Seconds of wall clock and of CPU for :data:`BLOCK` steps of the library and of the loop by hand beside it."""

    wall: float
    cpu: float
    bare_wall: float
    bare_cpu: float


class PairedLoader:
    """Yields batches; before each block of steps it runs the same number by hand and notes both times."""

    def __init__(self, bare: Callable[[int], None], steps: int = STEPS):
        self.bare, self.steps = bare, steps
        self.library: list[tuple[float, float]] = []
        self.hand: list[tuple[float, float]] = []
        self.data = batches()

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        began: tuple[float, float] | None = None
        for index in range(self.steps):
            if index % BLOCK == 0:
                now = (time.perf_counter(), time.process_time())
                if began is not None:
                    self.library.append((now[0] - began[0], now[1] - began[1]))
                now = (time.perf_counter(), time.process_time())
                self.bare(BLOCK)
                began = (time.perf_counter(), time.process_time())
                self.hand.append((began[0] - now[0], began[1] - now[1]))
            yield self.data[index % len(self.data)]

    def timings(self) -> list[dict[str, float]]:
        """One :class:`Timing` a block after the warm-up; the loop by hand is the mean of before and after."""
        found = []
        for index in range(WARM_UP // BLOCK, len(self.library)):
            before, after = self.hand[index], self.hand[index + 1]
            bare = [(one + other) / 2 for one, other in zip(before, after, strict=True)]
            found.append(asdict(Timing(*self.library[index], *bare)))
        return found


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

    WARM_UP, WINDOW = 100, 250

    def __init__(self) -> None:
        self.data = batches()
        self.calls, self.reads = CallCounter(), ReadCounter()

    def __len__(self) -> int:
        return self.WARM_UP + 2 * self.WINDOW + 1

    def __iter__(self) -> Iterator[Batch]:
        middle = self.WARM_UP + self.WINDOW
        for index in range(len(self)):
            if index == self.WARM_UP:
                self.calls.start()
            elif index == middle:
                self.calls.stop()
                self.reads.start()
            elif index == middle + self.WINDOW:
                self.reads.stop()
            yield self.data[index % len(self.data)]

    def counts(self) -> dict[str, float]:
        """Python calls and synchronizing reads, each a step."""
        return {"calls": self.calls.count / self.WINDOW, "reads": self.reads.count / self.WINDOW}


def summary(blocks: list[dict[str, float]]) -> dict[str, float]:
    """Medians over blocks: µs a step of the library and by hand, and the ratio of each pair; ``whole`` is of the sums.

    The median block has no flush in it, the sum has all of them.
    """
    return {
        "us": statistics.median(block["wall"] for block in blocks) / BLOCK * 1e6,
        "bare_us": statistics.median(block["bare_wall"] for block in blocks) / BLOCK * 1e6,
        "ratio": statistics.median(block["wall"] / block["bare_wall"] for block in blocks),
        "whole": sum(block["wall"] for block in blocks) / sum(block["bare_wall"] for block in blocks),
        "cpu_ratio": statistics.median(block["cpu"] / block["bare_cpu"] for block in blocks),
    }
