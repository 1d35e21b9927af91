"""Writing runs for the tests of their readers, through the recorder that a real Trainer uses."""

from __future__ import annotations

import time
from typing import ClassVar

import numpy as np

from lit_studio.base.events import EpochEnded, MetricsLogged, Points, Progressed, RunEnded, RunStarted
from lit_studio.base.runs import RunDirectory, RunRecorder


class Recording:
    """A run that grows as told; closed at the end of the test."""

    open: ClassVar[list[Recording]] = []

    def __init__(self, folder, max_epochs: int = 4, planned_steps: int | None = None):
        self.run = RunDirectory.create(folder)
        self.recorder = RunRecorder(self.run)
        Recording.open.append(self)
        self.planned_steps, self.step, self.epoch = planned_steps, 0, 0
        self.now = self.started = time.time()
        self.active = 0.0
        self.recorder.observe(RunStarted(self.now, "train", max_epochs, -1))
        self.logged: dict[str, tuple[list[int], list[float]]] = {}

    def flush(self, seconds: float = 0.1, prog_bar: tuple[str, ...] = (), **series: list[float]) -> None:
        """One flush: each series gets its values at the next steps."""
        longest = max((len(values) for values in series.values()), default=0)
        self.now += seconds
        self.active += seconds
        self.recorder.observe(
            Progressed(
                self.now, "train", self.step + longest, self.epoch, 0, None,
                planned_steps=self.planned_steps, samples=32 * (self.step + longest), active=self.active,
            )
        )  # fmt: skip
        points = []
        for name, values in series.items():
            steps = list(range(self.step, self.step + len(values)))
            points.append(Points(name, steps, values, name in prog_bar))
            known = self.logged.setdefault(name, ([], []))
            known[0].extend(steps)
            known[1].extend(values)
        self.recorder.observe(MetricsLogged(self.now, self.epoch, tuple(points)))
        self.step += longest

    def end_epoch(self) -> None:
        self.recorder.observe(EpochEnded(self.now, self.step, self.epoch))
        self.epoch += 1

    def end(self, state: str = "finished") -> None:
        self.recorder.observe(RunEnded(self.now, state, "train", self.step, self.epoch))
        self.recorder.close()


def rough(rng: np.random.Generator, n: int) -> list[float]:
    """Random values with spikes and, now and then, NaN and infinities."""
    values = rng.normal(size=n)
    values[rng.random(n) < 0.01] *= 1e6
    values[rng.random(n) < 0.02] = rng.choice([np.nan, np.inf, -np.inf])
    return values.tolist()
