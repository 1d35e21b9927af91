"""Following a run's two logs: what has been appended since the last look, and whether to start over.

It must not know what a screen asks for. A log that is shorter than what was read, or another file under the same
name, means that the record was replaced: then everything read before is void.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lit_studio.base.runs import Block, decode_points, read_blocks
from lit_studio.base.runs.log import EVENT, EXPLICIT, POINTS, SERIES, START, Chunk, PointsBlock
from lit_studio.tracking.series import Indices, Series
from lit_studio.tracking.timeline import EpochScale, Timeline

AT_ONCE = 32 * 1024 * 1024


class Follower:
    """Reads a growing file of blocks from where it left off."""

    def __init__(self, path: Path):
        self.path = path
        self._offset = 0
        self._file: tuple[int, int] | None = None

    def replaced(self) -> bool:
        """Whether what was read so far is no longer what lies there."""
        try:
            stat = self.path.stat()
            file, size = (stat.st_dev, stat.st_ino), stat.st_size
        except OSError:
            file, size = None, 0
        void = self._file is not None and (file != self._file or size < self._offset)
        self._file = file
        return void

    def restart(self) -> None:
        """Read from the beginning next time."""
        self._offset = 0

    def new_blocks(self) -> Iterator[list[Block]]:
        """Batches of the whole blocks that were appended; none if there is nothing new."""
        with contextlib.suppress(OSError):
            while self.path.stat().st_size > self._offset:
                blocks, self._offset = read_blocks(self.path, self._offset, AT_ONCE)
                if not blocks:
                    return
                yield blocks


def read_event(block: Block) -> dict[str, Any] | None:
    """The event in ``block``, None if it holds none."""
    if block.kind != EVENT:
        return None
    try:
        event = json.loads(bytes(block.payload), parse_constant=str)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def add_metrics(
    blocks: list[Block], series: dict[int, Series], timeline: Timeline, branches: dict[int, list[Series]]
) -> None:
    """Put what ``blocks`` say into ``series`` and ``timeline``; what makes no sense is left out.

    Where a fit began at an earlier step than points were logged at, what lies behind that step moves from
    ``series`` to ``branches``, the abandoned stretches of each series, oldest first.
    """
    first = 0
    for at, block in enumerate(blocks):
        if block.kind == START and (step := _start(block)) is not None:
            _add_points(blocks[first:at], series, timeline)
            first = at
            _abandon(step, series, timeline, branches)
    _add_points(blocks[first:], series, timeline)


def _abandon(step: int, series: dict[int, Series], timeline: Timeline, branches: dict[int, list[Series]]) -> None:
    samples = []
    for each in series.values():
        if (branch := each.cut(step)) is not None:
            branches.setdefault(each.id, []).append(branch)
            last = np.arange(each.total)[-1:]
            samples += [0.0, *timeline.place(each, last, "samples", EpochScale()).tolist()]
    if samples:
        timeline.restart(max(samples))


def _start(block: Block) -> int | None:
    """The step at which a fit began; None for a validation or test, which leaves everything as it is."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        record = json.loads(bytes(block.payload))
        if record["stage"] in ("train", "sanity_check") and isinstance(record["step"], int):
            return int(record["step"])
    return None


def _add_points(blocks: list[Block], series: dict[int, Series], timeline: Timeline) -> None:
    points: list[PointsBlock] = []
    chunks: dict[int, list[tuple[int, Chunk]]] = {}
    for block in blocks:
        if block.kind == SERIES:
            _define(block, series)
        elif block.kind == POINTS:
            try:
                decoded = decode_points(block.payload)
            except ValueError:
                continue
            number = len(timeline) + len(points)
            points.append(decoded)
            for chunk in decoded.chunks:
                if chunk.count and chunk.series in series:
                    chunks.setdefault(chunk.series, []).append((number, chunk))
    if points:
        timeline.extend(points)
    for series_id, pieces in chunks.items():
        values = np.frombuffer(b"".join(chunk.values for _, chunk in pieces), "<f8")
        counts = np.array([chunk.count for _, chunk in pieces], np.int64)
        numbers = np.array([number for number, _ in pieces], np.int64)
        series[series_id].extend(_steps([chunk for _, chunk in pieces], counts), values, counts, numbers)


def _define(block: Block, series: dict[int, Series]) -> None:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        record = json.loads(bytes(block.payload))
        number = record["id"]
        if isinstance(number, int) and number not in series:
            series[number] = Series(number, str(record["name"]), bool(record["prog_bar"]))


def _steps(chunks: list[Chunk], counts: Indices) -> Indices:
    starts = np.cumsum(counts) - counts
    first = np.array([chunk.first for chunk in chunks], np.int64)
    stride = np.array([chunk.stride for chunk in chunks], np.int64)
    within = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(starts, counts)
    steps = np.repeat(first, counts) + within * np.repeat(stride, counts)
    for at, count, chunk in zip(starts.tolist(), counts.tolist(), chunks, strict=True):
        if chunk.stride == EXPLICIT and chunk.steps is not None:
            steps[at : at + count] = np.frombuffer(chunk.steps, "<i8")
    return steps
