"""One run, read while it is written: values, events, a small picture, and packets for screens.

It must not know who asks or over what wire the answer goes.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_studio.base.errors import InvalidValueError, RunNotFoundError
from lit_studio.base.runs import RunDirectory, RunStatus
from lit_studio.base.runs.status import finite_or_text
from lit_studio.tracking.columns import column_extremes
from lit_studio.tracking.files import Follower, add_metrics, read_event
from lit_studio.tracking.media import MediaIndex
from lit_studio.tracking.packet import Held, PacketQuery, check_query, encode_packet
from lit_studio.tracking.series import MARKS, Indices, Series, pairs_of, stretches, stride_for
from lit_studio.tracking.timeline import EpochScale, Timeline
from lit_studio.tracking.window import points_inside

# An abandoned stretch is shown behind the curve, in grey: its outline is enough.
BRANCH_WIDTH = 256

Shown = tuple[NDArray[np.float64], NDArray[np.float64]]


class RunReader:
    """Reads ``run`` step by step: each call looks at what was appended since the last one.

    Safe to use from several threads. Memory: 16 bytes a point, 48 bytes a flush and 16 more for each series in
    it; up to twice that, since the arrays' room is doubled when it runs out.

    Attributes:
        media: what the run shows besides its curves.
    """

    def __init__(self, run: RunDirectory):
        self._lock = threading.RLock()
        self._run = run
        self._written: tuple[int, int] | None = None
        self._metrics, self._event_log = Follower(run.metrics_log), Follower(run.events_log)
        self.media = MediaIndex(run)
        self._forget()

    def _forget(self) -> None:
        self._series: dict[int, Series] = {}
        self._branches: dict[int, list[Series]] = {}  # what was abandoned, by series
        self._timeline = Timeline()
        self._events: list[dict[str, Any]] = []

    @property
    def run(self) -> RunDirectory:
        """The run as last opened."""
        return self._run

    @property
    def nbytes(self) -> int:
        """Bytes of memory held by points and flushes."""
        with self._lock:
            branches = (branch for each in self._branches.values() for branch in each)
            return self._timeline.nbytes + sum(series.nbytes for series in (*self._series.values(), *branches))

    def refresh(self) -> None:
        """Read what is new.

        A log that was cut or replaced is read again from its beginning.

        Raises:
            RunNotFoundError: the run is gone, or another run lies in its place.
            RunRecordError: its ``run.json`` can't be read.
        """
        with self._lock:
            self._reopen()
            if self._metrics.replaced() | self._event_log.replaced():  # both are to look: no short cut
                self._forget()
                for log in (self._metrics, self._event_log):
                    log.restart()
            for blocks in self._metrics.new_blocks():
                add_metrics(blocks, self._series, self._timeline, self._branches)
            for blocks in self._event_log.new_blocks():
                self._events += [event for block in blocks if (event := read_event(block)) is not None]

    def _reopen(self) -> None:
        # A run that goes on in its directory (test after fit, a resume) has its run.json written anew, by another
        # process perhaps: without looking, its status would be judged by a process that is gone.
        try:
            stat = (self._run.record / "run.json").stat()
        except OSError:
            raise RunNotFoundError("The run is gone", value=str(self._run.path)) from None
        written = (stat.st_ino, stat.st_mtime_ns)
        if written == self._written:
            return
        run = RunDirectory.open(self._run.path)
        if run.info.id != self._run.info.id:
            raise RunNotFoundError(f"Another run lies in the place of {self._run.info.id}", value=str(self._run.path))
        self._run, self._written = run, written

    def names(self) -> list[str]:
        """Names of the series in the order in which they first appeared."""
        with self._lock:
            self.refresh()
            return [series.name for series in self._series.values()]

    def values(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """All points of one series, unreduced; after a resume from an earlier step without the abandoned ones.

        Returns:
            ``(steps, values)``: i64 and f64 of the same length, copies.

        Raises:
            InvalidValueError: there is no such series; the message lists those there are.
        """
        with self._lock:
            self.refresh()
            for series in self._series.values():
                if series.name == name:
                    return series.steps.array.copy(), series.values.array.copy()
            known = ", ".join(series.name for series in self._series.values()) or "none has been logged"
            raise InvalidValueError("This run has no such series", value=name, valid=known)

    def events(self, after: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Events from number ``after`` on, as plain dicts, and the number at which to go on.

        A number that is larger than that of events there are (the log was replaced) gives all of them.
        """
        with self._lock:
            self.refresh()
            return self._events_from(after), len(self._events)

    def _events_from(self, after: int) -> list[dict[str, Any]]:
        return self._events[after:] if after <= len(self._events) else list(self._events)

    def sparkline(self, n: int = 40) -> list[float]:
        """At most ``n`` finite values that outline the run's main series, oldest first.

        The main series is the first one logged with ``prog_bar=True``, else the first with "loss" in its name, else
        the first. Each value is the mean of the finite values in one of ``n`` equal parts; parts without are skipped.
        """
        with self._lock:
            self.refresh()
            series = self._main_series()
            if series is None or series.total == 0:
                return []
            values = series.values.array
            edges = np.linspace(0, len(values), min(n, len(values)) + 1).astype(np.int64)[:-1]
            finite = np.isfinite(values)
            counts = np.add.reduceat(finite, edges, dtype=np.int64)
            with np.errstate(over="ignore"):
                means = np.add.reduceat(np.where(finite, values, 0.0), edges) / np.maximum(counts, 1)
            return means[(counts > 0) & np.isfinite(means)].tolist()

    def _main_series(self) -> Series | None:
        every = list(self._series.values())
        for wanted in (lambda s: s.prog_bar, lambda s: "loss" in s.name.lower(), lambda s: True):
            for series in every:
                if wanted(series):
                    return series
        return None

    def packet(
        self,
        width: int = 1024,
        axis: str = "step",
        have: str = "",
        events: int = 0,
        x0: float | None = None,
        x1: float | None = None,
    ) -> bytes:
        """What a screen needs to draw the run, reduced to its resolution; see :mod:`lit_studio.tracking.packet`.

        Args:
            width: buckets that the screen can show, 64 to 8192.
            axis: ``step``, ``epoch`` (fractions), ``time`` (seconds since the epoch), ``active`` (seconds without
                pauses) or ``samples``.
            have: what the asker holds of this axis, ``id:stride:buckets`` for each series, separated by commas.
                Only what follows is sent; the bucket that may have grown since is sent again. A fourth number says
                how many abandoned stretches of the series are held, none if it is missing.
            events: number of events that the asker knows.
            x0: show only the window of the axis that begins here, whole, for the series that ``have`` names (all if it
                names none). It is cut into
                ``width`` columns, and each shows its smallest and its largest value exactly. One more point on
                either side is included, so that lines reach the window's edges.
            x1: where the window ends.

        A fit that goes on from an earlier step abandons what was logged behind that step: the series goes on from
        there, and ``branches`` lists the abandoned stretches.

        Each series says its ``span``, the places of its first and last point, which may lie outside of what is shown
        of their buckets, and by ``nonfinite`` where stretches of NaN or of an infinity begin, the earliest 50. On the
        axes ``active`` and ``samples`` each event has its place under ``at``.

        Raises:
            InvalidValueError: an argument is outside what is valid.
            RunNotFoundError: the run is gone.
            RunRecordError: its record can't be read.
        """
        query = check_query(width, axis, have, events, x0, x1)
        with self._lock:
            self._reopen()
            # Before the logs: whoever sees that the run has ended may stop asking, so must have seen all of it.
            status = self._run.status()
            self.refresh()
            scale, moved = self._scales(query, status)
            entries, arrays = [], []
            for series in self._asked(query):
                entry, shown = self._answer(series, query, scale, moved)
                entries.append(entry)
                arrays.append(shown)
            branches = [] if query.window is not None else self._new_branches(query, scale)
            arrays += [shown for _, shown in branches]
            header = self._header(query, status)
            header.update(series=entries, branches=[entry for entry, _ in branches])
            return encode_packet(header, arrays)

    def _header(self, query: PacketQuery, status: RunStatus) -> dict[str, Any]:
        """What a packet says of the run as a whole."""
        info = self._run.info
        return {
            "run": info.id,
            "name": info.name,
            "notebook": info.notebook,
            "axis": query.axis,
            "status": status.to_json(),
            "events": self._placed(self._events_from(query.events), query.axis),
            "events_next": len(self._events),
            "media": self.media.count(),
        }

    def _scales(self, query: PacketQuery, status: RunStatus) -> tuple[EpochScale, list[int]]:
        """The scale of the epoch axis, and the epochs that lie elsewhere than the asker was told."""
        if query.axis != "epoch":
            return EpochScale(), []
        scale = EpochScale.from_events(self._events, status.planned_steps)
        if query.events >= len(self._events):
            return scale, []
        return scale, scale.changed(EpochScale.from_events(self._events[: query.events], status.planned_steps))

    def _answer(
        self, series: Series, query: PacketQuery, scale: EpochScale, moved: list[int]
    ) -> tuple[dict[str, Any], Shown]:
        if query.window is not None:
            return self._answer_window(series, query.axis, scale, query.width, query.window)
        stride = stride_for(series.total, query.width)
        buckets = -(-series.total // stride)
        start = self._start(series, stride, buckets, query.have.get(series.id), moved)
        indices, y = series.show(stride, start, buckets)
        extremes = [] if series.extremes is None else list(series.extremes)
        entry = self._entry(series, query.axis, scale, series.total, extremes, series.marks)
        entry.update(stride=stride, start=start, points=len(y))
        return entry, (self._timeline.place(series, indices, query.axis, scale), y)

    def _placed(self, events: list[dict[str, Any]], axis: str) -> list[dict[str, Any]]:
        if axis not in ("active", "samples"):
            return events  # the events themselves say their step, epoch and time
        times = np.array([event.get("time", np.nan) for event in events], np.float64)
        places = self._timeline.when(times, axis).tolist()
        return [{**event, "at": at} if at == at else event for event, at in zip(events, places, strict=True)]

    def _asked(self, query: PacketQuery) -> list[Series]:
        every = list(self._series.values())
        if query.window is None or not query.have:
            return every
        return [series for series in every if series.id in query.have]

    def _new_branches(self, query: PacketQuery, scale: EpochScale) -> list[tuple[dict[str, Any], Shown]]:
        """The abandoned stretches that the asker does not hold."""
        found = []
        for series_id, branches in self._branches.items():
            known = query.have.get(series_id, (1, 0, 0))[2]
            for number, branch in enumerate(branches[known:], known):
                stride = stride_for(branch.total, BRANCH_WIDTH)
                indices, y = branch.show(stride, 0, -(-branch.total // stride))
                entry = {"series": series_id, "number": number, "total": branch.total, "points": len(y)}
                found.append((entry, (self._timeline.place(branch, indices, query.axis, scale), y)))
        return found

    def _start(self, series: Series, stride: int, buckets: int, held: Held | None, moved: list[int]) -> int:
        if held is None or held[0] != stride or held[1] > buckets or held[2] != series.cuts:
            return 0
        # A bucket of one point can't have grown.
        start = held[1] if stride == 1 else max(0, held[1] - 1)
        if moved and series.total:
            chunks = np.flatnonzero(np.isin(self._timeline.epochs_of(series), moved))
            if len(chunks):
                start = min(start, int(series.starts.array[chunks[0]]) // stride)
        return start

    def _answer_window(
        self, series: Series, axis: str, scale: EpochScale, width: int, window: tuple[float, float]
    ) -> tuple[dict[str, Any], Shown]:
        inside = points_inside(series, self._timeline, axis, scale, window)
        values = series.values.array
        if isinstance(inside, range):
            stride = -(-len(inside) // width)
            indices = np.arange(inside.start, inside.stop, dtype=np.int64)
            if len(inside) > 2 * width:
                indices = self._columns(series, indices, axis, scale, width, window)
            y = values[indices]
            marks = stretches(values, inside.start, inside.stop)
        else:  # steps went back with no fit begun anew: no column would hold one stretch of the line
            stride = stride_for(len(inside), width)
            indices, y = (inside, values[inside]) if stride == 1 else pairs_of(values, inside, inside, stride)
            marks = np.intersect1d(inside, stretches(values, 0, series.total))
        finite = indices[np.isfinite(y)]
        extremes = [int(finite[values[finite].argmin()]), int(finite[values[finite].argmax()])] if len(finite) else []
        entry = self._entry(series, axis, scale, len(inside), extremes, marks[:MARKS].tolist())
        if len(inside):
            entry["last"] = finite_or_text(float(values[inside[-1]]))
        entry.update(stride=stride, start=0, points=len(y))
        return entry, (self._timeline.place(series, indices, axis, scale), y)

    def _entry(
        self, series: Series, axis: str, scale: EpochScale, total: int, extremes: list[int], marks: list[int]
    ) -> dict[str, Any]:
        values = series.values.array
        ends = [0, series.total - 1] if series.total else []
        special = np.array([*extremes, *marks], np.int64)
        x = self._timeline.place(series, special, axis, scale).tolist()
        points = [[at, finite_or_text(value)] for at, value in zip(x, values[special].tolist(), strict=True)]
        return {
            "id": series.id,
            "name": series.name,
            "prog_bar": series.prog_bar,
            "span": self._timeline.place(series, np.array(ends, np.int64), axis, scale).tolist() or None,
            "total": total,
            "last": finite_or_text(float(values[-1])) if total else None,
            "min": points[0] if extremes else None,
            "max": points[1] if extremes else None,
            "nonfinite": points[len(extremes) :],
            "branches": series.cuts,
        }

    def _columns(
        self, series: Series, indices: Indices, axis: str, scale: EpochScale, width: int, window: tuple[float, float]
    ) -> Indices:
        x = self._timeline.place(series, indices, axis, scale)
        return indices[column_extremes(x, series.values.array[indices], window, width)]
