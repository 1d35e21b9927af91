"""Where points lie on each axis: optimizer step, epoch, wall time, active time, samples seen.

It must not know files or how points are drawn. A run's log says time, active time and samples once a flush (a
*block*); points between two flushes are spread evenly over the active time that passed. Active time and samples
that start again from zero (``test`` after ``fit`` in one directory) are laid end to end; the samples of a fit that goes
on from an earlier step go back with it.

Epochs are shown as fractions, which takes the length of an epoch in steps. That of a finished epoch is known from
its end. A running one is taken to be as long as the one before it, the first one as long as the plan says; while that
is unknown all its points lie at its start. So the points of an epoch move when it ends:
:meth:`EpochScale.changed` says which epochs moved since an earlier reading of the events, so that whoever was told
the earlier places is told anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_studio.base.runs.log import PointsBlock
from lit_studio.tracking.growing import GrowingArray
from lit_studio.tracking.series import Indices, Series

Floats = NDArray[np.float64]


@dataclass
class EpochScale:
    """Start and length of each epoch in steps: ``spans[epoch] = (start, length)``, length 0 while unknown."""

    spans: dict[int, tuple[int, float]] = field(default_factory=dict)

    @classmethod
    def from_events(cls, events: Sequence[dict[str, Any]], planned_steps: int | None) -> EpochScale:
        """The scale as far as ``events`` tell; ``planned_steps`` is the whole fit's, None if unknown."""
        spans: dict[int, tuple[int, float]] = {}
        length = 0.0
        for event in events:
            kind, step, epoch = event.get("event"), event.get("step"), event.get("epoch")
            if kind not in ("RunStarted", "EpochEnded") or not isinstance(step, int) or not isinstance(epoch, int):
                continue
            if kind == "RunStarted":
                length = length or _planned_length(event, planned_steps)
                spans.setdefault(epoch, (step, length))
                continue
            start = spans.get(epoch, (0, 0.0))[0]
            length = float(max(0, step - start))
            spans[epoch] = (start, length)
            spans[epoch + 1] = (step, length)
        return cls(spans)

    def changed(self, earlier: EpochScale) -> list[int]:
        """Epochs whose points lie elsewhere than in ``earlier``."""
        either = {*self.spans, *earlier.spans}
        return [epoch for epoch in either if self.spans.get(epoch) != earlier.spans.get(epoch)]

    def place(self, epochs: Indices, steps: Indices) -> Floats:
        """Fractional epoch of points logged in ``epochs`` at ``steps``; within ``[epoch, epoch + 1]``."""
        known, inverse = np.unique(epochs, return_inverse=True)
        spans = np.array([self.spans.get(int(epoch), (0, 0.0)) for epoch in known], np.float64).reshape(-1, 2)
        start, length = spans[inverse, 0], spans[inverse, 1]
        done = (steps - start) / np.where(length > 0, length, np.inf)
        return epochs + np.clip(done, 0.0, 1.0)


def _planned_length(event: dict[str, Any], planned_steps: int | None) -> float:
    epochs = event.get("max_epochs")
    # With max_steps the plan may end in the middle of an epoch, and then says nothing about its length.
    if event.get("stage") != "train" or event.get("max_steps", -1) >= 0 or not epochs or not planned_steps:
        return 0.0
    return planned_steps / epochs


class Timeline:
    """Time, active time, samples and epoch of each block."""

    def __init__(self) -> None:
        self._time, self._active, self._samples = (GrowingArray(np.float64) for _ in range(3))
        self._active_before, self._samples_before = GrowingArray(np.float64), GrowingArray(np.float64)
        self._epoch = GrowingArray(np.int64)
        self._is_sorted = {"time": True, "epoch": True}
        self._resets = {"active": (0.0, 0.0), "samples": (0.0, 0.0)}  # the last raw value and what came before a reset

        self._restart: float | None = None

    def __len__(self) -> int:
        return len(self._time)

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        parts = (self._time, self._active, self._samples, self._active_before, self._samples_before, self._epoch)
        return sum(part.nbytes for part in parts)

    def restart(self, samples: float) -> None:
        """The next block belongs to a fit that went back to where ``samples`` had been seen."""
        self._restart = samples

    def extend(self, blocks: Sequence[PointsBlock]) -> None:
        """Append blocks in the order of the log (at least one)."""
        before = len(self)
        self._time.extend(np.array([block.time for block in blocks], np.float64))
        self._epoch.extend(np.array([block.epoch for block in blocks], np.int64))
        for name, grown in (("time", self._time), ("epoch", self._epoch)):
            self._is_sorted[name] &= grown.is_sorted_from(before)
        active = np.array([block.active for block in blocks], np.float64)
        samples = np.array([block.samples for block in blocks], np.float64)
        if self._restart is not None:  # its counter may have been restored, or begin at nothing
            base, self._restart = self._restart, None
            self._resets["samples"] = (base, 0.0) if samples[0] >= base else (0.0, base)
        for name, raw, start, end in (
            ("active", active, self._active_before, self._active),
            ("samples", samples, self._samples_before, self._samples),
        ):
            last, offset = self._resets[name]
            previous = np.concatenate(([last], raw[:-1]))
            offsets = offset + np.cumsum(np.where(raw < previous, previous, 0.0))
            total = raw + offsets
            start.extend(np.concatenate(([last + offset], total[:-1])))
            end.extend(total)
            self._resets[name] = float(raw[-1]), float(offsets[-1])

    def epochs_of(self, series: Series) -> Indices:
        """The epoch of each chunk of ``series``."""
        return self._epoch.array[series.blocks.array]

    def is_sorted(self, series: Series, axis: str) -> bool:
        """Whether the points of ``series`` lie on ``axis`` in the order in which they were logged."""
        if axis in ("active", "samples"):
            return True
        if axis == "step":
            return series.is_sorted
        array = self._time.array if axis == "time" else self._epoch.array
        if not self._is_sorted[axis]:  # in all blocks together; this series may lie in some of them
            places = array[series.blocks.array]
            return bool(np.all(places[1:] >= places[:-1])) and (axis == "time" or series.is_sorted)
        return axis == "time" or series.is_sorted

    def when(self, times: Floats, axis: str) -> Floats:
        """Place on ``active`` or ``samples`` of what happened at ``times``, f64; NaN where no flush tells."""
        if not len(self) or not self._is_sorted["time"]:  # a clock that jumped back says nothing about the order
            return np.full(len(times), np.nan)
        places = self._active if axis == "active" else self._samples
        return np.interp(times, self._time.array, places.array)

    def place(self, series: Series, indices: Indices, axis: str, scale: EpochScale) -> Floats:
        """Position on ``axis`` of the points ``indices`` of ``series``, f64."""
        if axis == "step":
            return series.steps.array[indices].astype(np.float64)
        starts = series.starts.array
        chunk = np.searchsorted(starts, indices, side="right") - 1
        block = series.blocks.array[chunk]
        if axis == "epoch":
            return scale.place(self._epoch.array[block], series.steps.array[indices])
        ends = np.append(starts[1:], series.total)
        share = (indices - starts[chunk] + 1) / (ends[chunk] - starts[chunk])
        before, after = self._active_before.array[block], self._active.array[block]
        if axis == "samples":
            before, after = self._samples_before.array[block], self._samples.array[block]
        elif axis == "time":
            # The active seconds before the flush: a pause in between holds no points.
            times = self._time.array
            passed, after = after - before, times[block]
            before = np.maximum(after - passed, np.where(block > 0, times[block - 1], -np.inf))
        return before + (after - before) * share
