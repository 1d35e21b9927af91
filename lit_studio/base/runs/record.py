"""The observer that writes a run's record: metrics, events and status, in the order in which they happen.

It must not know the loop or any screen: it receives events and owns the files of one
:class:`~lit_studio.base.runs.directory.RunDirectory`. Costs, amortised: under 3 µs a scalar and no fsync.
"""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import replace
from typing import Any

from lit_studio.base.events import (
    Event,
    MetricsLogged,
    Paused,
    Points,
    Progressed,
    Resumed,
    RunEnded,
    RunStarted,
    event_to_dict,
)
from lit_studio.base.json_files import replace_json
from lit_studio.base.runs.directory import RunDirectory
from lit_studio.base.runs.log import EVENT, POINTS, SERIES, START, BlockWriter, encode_points, read_blocks
from lit_studio.base.runs.status import RunStatus, finite_or_text

STATUS_EVERY = 0.25
RATE_WINDOW = 10.0


class RunRecorder:
    """Writes what it observes into ``run``; the status file at most four times a second."""

    def __init__(self, run: RunDirectory):
        self.run = run
        self._metrics = BlockWriter(run.metrics_log)
        self._events = BlockWriter(run.events_log)
        self._series: dict[str, int] = _known_series(run)
        self._status = RunStatus(started=time.time())
        self._written = 0.0
        self._active, self._samples, self._first_step = 0.0, 0, 0
        # (active seconds, steps, batches, samples, stage) of the last seconds, for the rate
        self._window: deque[tuple[float, int, int, int, str]] = deque(maxlen=256)

    @property
    def status(self) -> RunStatus:
        """The status as known in memory, never behind the file."""
        return self._status

    def observe(self, event: Event) -> None:
        """Write ``event``; progress and metrics go into their own files, everything else into the event log."""
        if isinstance(event, MetricsLogged):
            self._points(event)
            return
        if isinstance(event, Progressed):
            self._progress(event)
            return
        self._events.append((EVENT, _to_json(event_to_dict(event))))
        if isinstance(event, RunStarted):
            self._start(event)
        elif isinstance(event, Paused):
            self._status = self._status.follow("paused", updated=event.time)
        elif isinstance(event, Resumed):
            self._window.clear()
            self._status = self._status.follow("running", updated=event.time)
        elif isinstance(event, RunEnded):
            self._end(event)
        self._write()

    def end(self, event: RunEnded) -> None:
        """Write the status only: how a run ended whose logs could not be written to its end."""
        self._end(event)
        self._write()

    def close(self) -> None:
        """Write the last status and close the files; a second call does so again and harms nothing."""
        try:
            self._write()
        finally:  # the directory may be gone or the disk full: the files are closed all the same
            self._metrics.close()
            self._events.close()

    def _start(self, event: RunStarted) -> None:
        # Among the points too: a fit that goes on from an earlier step leaves behind what was logged after it.
        self._metrics.append((START, _to_json({"stage": event.stage, "step": event.step})))
        self._window.clear()
        self._active, self._samples, self._first_step = 0.0, 0, event.step
        self._status = self._status.follow(
            "running",
            stage=event.stage,
            step=event.step,
            epoch=event.epoch,
            max_epochs=event.max_epochs,
            planned_steps=event.max_steps if event.max_steps >= 0 else None,
            batch=0,
            batches=None,
            rate=0.0,
            samples_per_second=0.0,
            eta=None,
            data_wait=0.0,
            active=0.0,
            device=event.device,
            started=event.time,
            updated=event.time,
            error="",
            commands=event.commands,
        )

    def _end(self, event: RunEnded) -> None:
        metrics = {name: finite_or_text(value) for name, value in event.metrics.items()}
        self._status = self._status.follow(
            event.state,
            stage=event.stage,
            step=event.step,
            epoch=event.epoch,
            eta=None,
            updated=event.time,
            error=event.error,
            metrics={**self._status.metrics, **metrics},
        )

    def _points(self, event: MetricsLogged) -> None:
        blocks: list[tuple[int, bytes]] = []
        fresh: list[str] = []
        chunks = []
        last: dict[str, float | str] = {}
        headline: dict[str, float | str] = {}
        for points in event.points:
            if not points.values:
                continue
            if points.name not in self._series:
                blocks.append((SERIES, self._define(points)))
                fresh.append(points.name)
            chunks.append((self._series[points.name], points.steps, points.values))
            value = finite_or_text(points.values[-1])
            last[points.name] = value
            if points.prog_bar:
                headline[points.name] = value
        if not chunks:
            return
        blocks.append((POINTS, encode_points(event.time, self._active, self._samples, event.epoch, chunks)))
        try:
            self._metrics.append(*blocks)
        except OSError:  # a full disk: these series aren't defined on it, so the next points must define them
            for name in fresh:
                del self._series[name]
            raise
        self._status = replace(
            self._status,
            metrics={**self._status.metrics, **last},
            headline={**self._status.headline, **headline},
        )

    def _define(self, points: Points) -> bytes:
        number = len(self._series)
        self._series[points.name] = number
        return _to_json({"id": number, "name": points.name, "prog_bar": points.prog_bar})

    def _progress(self, event: Progressed) -> None:
        self._active, self._samples = event.active, event.samples
        rate, samples_rate = self._rate(event)
        left = None if event.planned_steps is None else max(0, event.planned_steps - event.step)
        self._status = replace(
            self._status,
            stage=event.stage,
            step=event.step,
            planned_steps=event.planned_steps,
            epoch=event.epoch,
            batch=event.batch,
            batches=event.batches,
            rate=rate,
            samples_per_second=samples_rate,
            eta=self._eta(event, left),
            data_wait=min(1.0, event.data_wait / event.active) if event.active > 0 else 0.0,
            active=event.active,
            learning_rate=event.learning_rate,
            updated=event.time,
        )
        if event.time - self._written >= STATUS_EVERY:
            self._write()

    def _rate(self, event: Progressed) -> tuple[float, float]:
        window = self._window
        if window and window[-1][4] != event.stage:
            window.clear()
        window.append((event.active, event.step, event.batch, event.samples, event.stage))
        while len(window) > 2 and event.active - window[0][0] > RATE_WINDOW:
            window.popleft()
        active, step, batch, samples, _ = window[0]
        seconds = event.active - active
        if seconds <= 0:
            return self._status.rate, self._status.samples_per_second
        done = event.step - step if event.stage == "train" else event.batch - batch
        return max(0.0, done / seconds), max(0.0, (event.samples - samples) / seconds)

    def _eta(self, event: Progressed, left: int | None) -> float | None:
        # From the whole fit so far, validation and saving included: steadier than the rate of the last seconds.
        done = event.step - self._first_step
        if left is None or done <= 0 or event.active <= 0:
            return None
        return left * event.active / done

    def _write(self) -> None:
        self._written = self._status.updated
        replace_json(self.run.status_file, self._status.to_json())


def _to_json(record: dict[str, Any]) -> bytes:
    def plain(value: Any) -> Any:
        if isinstance(value, float):
            return finite_or_text(value)
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return value

    return json.dumps(plain(record), allow_nan=False, default=str).encode()


def _known_series(run: RunDirectory) -> dict[str, int]:
    known: dict[str, int] = {}
    for block in read_blocks(run.metrics_log)[0]:
        if block.kind == SERIES:
            record = json.loads(bytes(block.payload))
            known[record["name"]] = record["id"]
    return known
