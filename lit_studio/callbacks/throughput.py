"""How fast work gets done: batches, samples, items and floating-point operations a second, over the latest of them.

It must not know clocks, devices or loggers: it is told times and totals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lit_studio.base.errors import InvalidStateError, InvalidValueError


class _Rising(deque[Any]):
    """The latest totals, which only rise."""

    def append(self, value: float) -> None:
        if self and self[-1] >= value:
            raise InvalidValueError(
                "Expected the value to increase", value=value, valid=f"more than the last, {self[-1]}"
            )
        super().append(value)

    @property
    def full(self) -> bool:
        return len(self) == self.maxlen

    @property
    def span(self) -> float:
        return self[-1] - self[0]


class Throughput:
    """Rates over the latest updates.

    :meth:`compute` gives the totals ``time``, ``batches``, ``samples`` and, if it was told, ``lengths``; and once there
    are ``window_size`` updates the rates of one device: ``device/batches_per_sec``, ``device/samples_per_sec``,
    ``device/items_per_sec``, ``device/flops_per_sec`` and ``device/mfu`` (the share of ``available_flops``). With
    several devices the same without ``device/`` are for all of them.

    Args:
        available_flops: what one device could do, in operations a second; for ``mfu``.
        world_size: devices, each as fast as this one.
        window_size: updates that the rates are taken over, at least 2.
        separator: after ``device``.

    Raises:
        InvalidValueError: ``world_size`` or ``window_size`` is too small.
    """

    def __init__(
        self,
        available_flops: float | None = None,
        world_size: int = 1,
        window_size: int = 100,
        separator: str = "/",
    ):
        if world_size < 1:
            raise InvalidValueError("world_size is too small", value=world_size, valid="≥ 1")
        if window_size < 2:
            raise InvalidValueError(
                "A rate needs two updates: window_size is too small", value=window_size, valid="≥ 2"
            )
        self.available_flops, self.world_size, self.separator = available_flops, world_size, separator
        self._time, self._batches, self._samples, self._lengths = (_Rising(maxlen=window_size) for _ in range(4))
        self._flops: deque[int] = deque(maxlen=window_size)

    def update(
        self, *, time: float, batches: int, samples: int, lengths: int | None = None, flops: int | None = None
    ) -> None:
        """Take note of totals since the beginning; each must be more than the last time.

        Args:
            time: seconds. On CUDA, synchronize before reading the clock where each update must be exact.
            batches: of this device.
            samples: of this device; no fewer than ``batches``.
            lengths: items in them, such as tokens; no fewer than ``samples``, and given always or never.
            flops: floating-point operations of this device since the last update.

        Raises:
            InvalidValueError: a total doesn't rise, or is below the one before it.
            InvalidStateError: ``lengths`` is given only now and then.
        """
        if samples < batches:
            raise InvalidValueError(f"Expected samples ({samples}) to be greater or equal than batches ({batches})")
        if lengths is not None and lengths < samples:
            raise InvalidValueError(f"Expected lengths ({lengths}) to be greater or equal than samples ({samples})")
        self._time.append(time)
        self._batches.append(batches)
        self._samples.append(samples)
        if lengths is not None:
            self._lengths.append(lengths)
            if len(self._lengths) != len(self._samples):
                raise InvalidStateError(
                    f"If lengths are passed ({len(self._lengths)}), there needs to be the same number of samples "
                    f"({len(self._samples)})"
                )
        if flops is not None:
            self._flops.append(flops * self.world_size)

    def compute(self) -> dict[str, int | float]:
        """The totals and, as far as the window is full, the rates.

        Raises:
            InvalidStateError: there was no update yet.
        """
        if not self._time:
            raise InvalidStateError("There is nothing to compute yet", advice="Call `update` first.")
        metrics: dict[str, int | float] = {
            "time": self._time[-1],
            "batches": self._batches[-1],
            "samples": self._samples[-1],
        }
        if self._lengths:
            metrics["lengths"] = self._lengths[-1]
        if not self._time.full:
            return metrics
        seconds = self._time.span
        for name, totals in (("batches", self._batches), ("samples", self._samples), ("items", self._lengths)):
            if totals.full:
                self._add(metrics, f"{name}_per_sec", totals.span / seconds)
        if len(self._flops) == self._flops.maxlen:
            # What the first update of the window reports was done before its time was taken.
            rate = (sum(self._flops) - self._flops[0]) / seconds / self.world_size
            self._add(metrics, "flops_per_sec", rate)
            if self.available_flops:
                metrics[f"device{self.separator}mfu"] = rate / self.available_flops
        return metrics

    def _add(self, metrics: dict[str, int | float], name: str, rate: float) -> None:
        metrics[f"device{self.separator}{name}"] = rate
        if self.world_size > 1:
            metrics[name] = rate * self.world_size

    def reset(self) -> None:
        """Begin anew."""
        for kept in (self._time, self._batches, self._samples, self._lengths, self._flops):
            kept.clear()


def measure_flops(
    model: torch.nn.Module, forward_fn: Callable[[], Tensor], loss_fn: Callable[[Tensor], Tensor] | None = None
) -> int:
    """Count the floating-point operations of a forward pass, and of the backward pass too with ``loss_fn``.

    On the ``meta`` device nothing is computed or stored: build model and input under ``torch.device("meta")``.

    Args:
        model: the model that runs.
        forward_fn: runs it and returns its output.
        loss_fn: makes a loss of the output, whose ``backward`` is counted too.
    """
    with FlopCounterMode(display=False) as counter:
        output = forward_fn()
        if loss_fn is not None:
            loss_fn(output).backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


def compute_dtype(precision: str) -> torch.dtype:
    """The type in which products are computed under a Trainer's or Fabric's ``precision``, such as ``"bf16-mixed"``."""
    if precision.startswith("transformer-engine"):
        return torch.int8
    words = {"bf16": torch.bfloat16, "16": torch.float16, "64": torch.float64}
    return words.get(precision.partition("-")[0], torch.float32)
