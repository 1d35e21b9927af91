"""The trainings that the loop benchmarks share, and a loader that times one against a loop by hand.

It must not know which library trains: it hands out batches, and what happens between two of them is a step.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from tests.benchmarks.networks import NETWORKS

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Task:
    """A network to train, and how long.

    Attributes:
        name: ``mlp``, ``cnn`` or ``gpt``.
        device: ``cpu`` or ``cuda``.
        precision: ``32-true`` or ``bf16-mixed``.
        block: steps that are timed together.
        steps: in a round.
        warm_up: steps that aren't timed.
        counted: steps for which calls are counted.
    """

    name: str
    device: str = "cpu"
    precision: str = "32-true"
    block: int = 50
    steps: int = 2_500
    warm_up: int = 400
    counted: int = 250

    def network(self) -> nn.Module:
        """The network on the device, the same weights each time."""
        torch.manual_seed(0)
        return NETWORKS[self.name].make().to(self.device)

    def batches(self) -> list[Batch]:
        """Batches in the host's memory, pinned where the device has its own; the same each time."""
        generator = torch.Generator().manual_seed(0)
        found = NETWORKS[self.name].batches(generator)
        if self.device == "cpu":
            return found
        return [(inputs.pin_memory(), targets.pin_memory()) for inputs, targets in found]

    def loss_of(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """The loss of ``model`` on ``batch``."""
        return NETWORKS[self.name].loss(model(batch[0]), batch[1])

    def optimizer_of(self, model: nn.Module) -> torch.optim.Optimizer:
        """Plain SGD for the MLP, AdamW for the others."""
        parameters = model.parameters()
        return torch.optim.SGD(parameters, lr=1e-3) if self.name == "mlp" else torch.optim.AdamW(parameters, lr=1e-3)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Around the forward pass of a loop by hand."""
        mixed = self.precision == "bf16-mixed"
        return torch.autocast(self.device, torch.bfloat16) if mixed else contextlib.nullcontext()

    def wait(self) -> None:
        """Until the device has done everything, so that a clock may be read."""
        if self.device == "cuda":
            torch.cuda.synchronize()


MLP = Task("mlp")
CNN = Task("cnn", block=10, steps=250, warm_up=40, counted=20)
GPT = Task("gpt", block=2, steps=34, warm_up=4, counted=10)
TASKS = {task.name: task for task in (MLP, CNN, GPT)}


def train_by_hand(task: Task, model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    """One step as one writes it oneself."""
    if task.device == "cpu" and task.precision == "32-true":
        loss = task.loss_of(model, batch)
    else:
        batch = (batch[0].to(task.device, non_blocking=True), batch[1].to(task.device, non_blocking=True))
        with task.autocast():
            loss = task.loss_of(model, batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def by_hand(task: Task = MLP) -> Callable[[int], None]:
    """A hand-written loop over a network of its own; call it with the number of steps to go on."""
    model, data = task.network(), task.batches()
    optimizer = task.optimizer_of(model)
    model.train()
    at = 0
    plain = task.device == "cpu" and task.precision == "32-true"
    loss_of = NETWORKS[task.name].loss

    def train(steps: int) -> None:
        nonlocal at
        with torch.enable_grad():
            if not plain:
                for index in range(at, at + steps):
                    train_by_hand(task, model, optimizer, data[index % len(data)])
            else:  # written out: at a tenth of a millisecond a step a function call counts
                for index in range(at, at + steps):
                    inputs, targets = data[index % len(data)]
                    loss = loss_of(model(inputs), targets)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
        at += steps

    train(task.warm_up)
    return train


@dataclass
class Timing:
    """Seconds of wall clock and of CPU for a block of steps of the library and of the loop by hand beside it."""

    wall: float
    cpu: float
    bare_wall: float
    bare_cpu: float


class PairedLoader:
    """Yields batches; before each block of steps it runs the same number by hand and notes both times."""

    def __init__(self, bare: Callable[[int], None], task: Task = MLP):
        self.bare, self.task = bare, task
        self.library: list[tuple[float, float]] = []
        self.hand: list[tuple[float, float]] = []
        self.data = task.batches()

    def __len__(self) -> int:
        return self.task.steps

    def __iter__(self) -> Iterator[Batch]:
        began: tuple[float, float] | None = None
        task, block = self.task, self.task.block
        for index in range(task.steps):
            if index % block == 0:
                now = self._now()
                if began is not None:
                    self.library.append((now[0] - began[0], now[1] - began[1]))
                now = self._now()
                self.bare(block)
                began = self._now()
                self.hand.append((began[0] - now[0], began[1] - now[1]))
            yield self.data[index % len(self.data)]

    def _now(self) -> tuple[float, float]:
        self.task.wait()
        return time.perf_counter(), time.process_time()

    def timings(self) -> list[dict[str, float]]:
        """One :class:`Timing` a block after the warm-up; the loop by hand is the mean of before and after."""
        found = []
        for index in range(self.task.warm_up // self.task.block, len(self.library)):
            before, after = self.hand[index], self.hand[index + 1]
            bare = [(one + other) / 2 for one, other in zip(before, after, strict=True)]
            found.append(asdict(Timing(*self.library[index], *bare)))
        return found


def summary(blocks: list[dict[str, float]], task: Task = MLP) -> dict[str, float]:
    """Medians over blocks: µs a step of the library and by hand, and the ratio of each pair; ``whole`` is of the sums.

    The median block of a quick step has no flush in it, the sum has all of them.
    """
    return {
        "us": statistics.median(block["wall"] for block in blocks) / task.block * 1e6,
        "bare_us": statistics.median(block["bare_wall"] for block in blocks) / task.block * 1e6,
        "ratio": statistics.median(block["wall"] / block["bare_wall"] for block in blocks),
        "whole": sum(block["wall"] for block in blocks) / sum(block["bare_wall"] for block in blocks),
        "cpu_ratio": statistics.median(block["cpu"] / block["bare_cpu"] for block in blocks),
    }
