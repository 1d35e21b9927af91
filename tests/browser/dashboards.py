"""Runs that the dashboard's browser tests look at: recorded as a real Trainer records them, grown at a set pace.

It must not know what a test checks. The recorder is the product's; only the numbers are made up.
"""

from __future__ import annotations

import base64
import json
import math
import random
import threading
import time
from pathlib import Path
from typing import Any

import nbformat

from lit_studio.base.events import (
    CheckpointSaved,
    EpochEnded,
    Event,
    MetricsLogged,
    Points,
    Progressed,
    RunEnded,
    RunStarted,
)  # fmt: skip
from lit_studio.base.runs import RunDirectory, RunRecorder
from tests.browser.lab import RUN_TYPE

FAMILIES = ("loss", "accuracy", "f1", "critic", "policy", "entropy", "norm", "penalty")
LINES = ("train", "val", "a", "b")
BATCH, EPOCH = 32, 250


class GrowingRun:
    """A run below ``folder`` that grows by itself once started.

    Args:
        folder: where its notebook lies; the run goes into ``lightning_logs/version_0`` in it.
        names: of its series.
        planned: steps that the run says it will take.
        ago: seconds since it began.
    """

    def __init__(self, folder: Path, names: list[str], planned: int = 20_000, ago: float = 0.0):
        self.folder = folder
        self.run = RunDirectory.create(folder / "lightning_logs/version_0")
        self.recorder = RunRecorder(self.run)
        self.names, self.planned = names, planned
        self.step, self.epoch, self.began = 0, 0, time.time() - ago
        self.now = self.began
        self._random = random.Random(7)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.tell(RunStarted(self.began, "train", planned // EPOCH, -1, device="cpu"))

    def tell(self, event: Event) -> None:
        """Record an event."""
        self.recorder.observe(event)

    def value(self, number: int, step: int) -> float:
        """What series ``number`` is at ``step``: a falling or rising curve with noise."""
        noise = self._random.gauss(0, 0.03) + 0.3 * (number % 4)
        fall = math.exp(-step / (1_500 + 300 * number))
        return (1 - 0.9 * fall if number % 8 in (4, 5, 6, 7) else 0.1 + 2 * fall) + noise

    def grow(self, steps: int, values: dict[str, list[float]] | None = None, seconds: float | None = None) -> None:
        """Record so many more steps in one flush; ``values`` instead of made-up ones, ``seconds`` after the last."""
        first, self.step = self.step, self.step + steps
        self.now = max(self.now + 1e-3, time.time()) if seconds is None else self.now + seconds
        active = self.now - self.began
        if values is None:
            at = range(first, self.step)
            values = {name: [self.value(i, step) for step in at] for i, name in enumerate(self.names)}
        rows = tuple(
            Points(name, range(first, first + len(row)), row, i < 4) for i, (name, row) in enumerate(values.items())
        )
        batch = self.step % EPOCH
        self.tell(
            Progressed(
                self.now, "train", self.step, self.epoch, batch, EPOCH, self.planned, self.step * BATCH,
                0.02 * active, active, 1e-3,
            )
        )  # fmt: skip
        self.tell(MetricsLogged(self.now, self.epoch, rows))
        while self.step // EPOCH > self.epoch:
            self.tell(EpochEnded(self.now, (self.epoch + 1) * EPOCH, self.epoch))
            path = self.run.path / f"checkpoints/epoch={self.epoch}-step={self.step}.ckpt"
            self.epoch += 1
            if self.epoch % 5 == 0:
                best = self.epoch % 10 == 0
                self.tell(CheckpointSaved(self.now, self.step, self.epoch, str(path), "monitor", best))

    def start(self, rate: float = 50.0) -> None:
        """Grow by ``rate`` steps a second, ten times a second, until :meth:`end`."""

        def work() -> None:
            while not self._over.wait(0.1):
                self.grow(max(1, round(rate / 10)))

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def end(self, state: str = "finished", error: str = "") -> None:
        """Stop growing and end the run; a second call does nothing."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self.recorder.status.is_active:
            self.tell(RunEnded(time.time(), state, "train", self.step, self.epoch, error))  # type: ignore[arg-type]
            self.recorder.close()

    def write_notebook(self, name: str = "train.ipynb", picture: bytes | None = None) -> Path:
        """A notebook in whose first cell's output the run is shown, as a kernel would have left it."""
        where = self.run.path.relative_to(self.folder).as_posix()
        data: dict[str, Any] = {
            RUN_TYPE: {"run": self.run.info.id, "directory": where, "name": "version_0", "view": "training"},
            "text/plain": "version_0",
        }
        if picture:
            data["image/png"] = base64.b64encode(picture).decode()
        output = nbformat.v4.new_output("display_data", data)
        cell = nbformat.v4.new_code_cell("trainer.fit(model)", id="cell-0", outputs=[output], execution_count=1)
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(
            cells=[cell, nbformat.v4.new_code_cell("", id="cell-1")], metadata={"kernelspec": kernel}
        )
        path = self.folder / name
        path.write_text(json.dumps(notebook))
        return path


def eight_charts() -> list[str]:
    """Names of 8 families of 4 lines, which the dashboard sorts into 8 charts."""
    return [f"{family}/{line}" for family in FAMILIES for line in LINES]
