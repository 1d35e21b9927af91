"""What it costs to record and to show a million points: writing beside TensorBoard, and the answers that a page gets.

It must not know what a page draws; it writes a run's record and asks for packets as the dashboard does.
"""

from __future__ import annotations

import json
import math
import random
import statistics
import struct
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from lit_studio.base.events import MetricsLogged, Points, Progressed, RunStarted
from lit_studio.base.runs import RunDirectory, RunRecorder
from lit_studio.tracking import RunReader
from tests.benchmarks import report

NAMES = ("train_loss", "val_loss", "train_acc", "val_acc")
STEPS = 250_000
FLUSH = 500
ROUNDS = 5
WIDTH = 1024


def curve(step: int) -> float:
    """A falling, noisy value."""
    return math.exp(-step / 50_000) + random.gauss(0, 0.02)


def values(first: int, count: int) -> list[list[float]]:
    """Values of each series for ``count`` steps."""
    return [[curve(step) for step in range(first, first + count)] for _ in NAMES]


class Recorded:
    """A run's record, written flush by flush."""

    def __init__(self, folder: Path):
        self.run = RunDirectory.create(folder)
        self.recorder = RunRecorder(self.run)
        self.recorder.observe(RunStarted(time.time(), "train", 1, STEPS))

    def write(self, first: int, rows: list[list[float]]) -> None:
        """Record one flush of consecutive steps."""
        steps = range(first, first + len(rows[0]))
        points = tuple(Points(name, steps, row, prog_bar=True) for name, row in zip(NAMES, rows, strict=True))
        now, last = time.time(), steps[-1] + 1
        self.recorder.observe(MetricsLogged(now, 0, points))
        self.recorder.observe(Progressed(now, "train", last, 0, last, STEPS, STEPS, last * 32, 0.0, last / 1e4, 1e-3))


def tensorboard(folder: Path) -> Callable[[int, list[list[float]]], None] | None:
    """The same by TensorBoard's writer, a call a point, as its users do; None if it isn't installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print("TensorBoard is left out: it isn't installed.")
        return None
    writer = SummaryWriter(str(folder))

    def write(first: int, rows: list[list[float]]) -> None:
        for name, row in zip(NAMES, rows, strict=True):
            for offset, value in enumerate(row):
                writer.add_scalar(name, value, first + offset)

    return write


def seconds_per_point(write: Callable[[int, list[list[float]]], None], first: int) -> float:
    """CPU time of this process for one flush, a point."""
    rows = values(first, FLUSH)
    began = time.process_time()
    write(first, rows)
    return (time.process_time() - began) / (FLUSH * len(NAMES))


def have(packet: bytes) -> str:
    """What a client that drew ``packet`` says that it holds."""
    (length,) = struct.unpack_from("<I", packet, 4)
    series = json.loads(packet[8 : 8 + length])["series"]
    return ",".join(f"{one['id']}:{one['stride']}:{-(-one['total'] // one['stride'])}" for one in series)


def timed(ask: Callable[[], bytes]) -> tuple[float, bytes]:
    """Milliseconds that ``ask`` takes, and its answer."""
    began = time.perf_counter()
    answer = ask()
    return (time.perf_counter() - began) * 1e3, answer


def main() -> None:
    """Write a million points, look at them, and print what it took."""
    random.seed(0)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        recorded = Recorded(Path(folder) / "ours")
        peer = tensorboard(Path(folder) / "peer")
        ours, theirs = [], []
        for first in range(0, STEPS, FLUSH):
            ours.append(seconds_per_point(recorded.write, first))
            if peer is not None and first < 20 * ROUNDS * FLUSH:
                theirs.append(seconds_per_point(peer, first))
        reader = RunReader(recorded.run)
        opened, _ = timed(lambda: reader.refresh() or b"")
        whole, packet = timed(lambda: reader.packet(width=WIDTH))
        updates = []
        for number in range(50):
            recorded.write(STEPS + number * FLUSH, values(STEPS, FLUSH))
            held, cursor = (
                have(packet),
                json.loads(packet[8 : 8 + struct.unpack_from("<I", packet, 4)[0]])["events_next"],
            )
            took, packet = timed(lambda: reader.packet(width=WIDTH, have=held, events=cursor))  # noqa: B023 - called now
            updates.append((took, len(packet)))
        first_size = len(reader.packet(width=WIDTH))
    update, size = (statistics.median(column) for column in zip(*updates, strict=True))
    print(f"{STEPS * len(NAMES):,} points of {len(NAMES)} series, {WIDTH} buckets wide")
    rows = [
        ["record a point", f"{statistics.median(ours) * 1e6:.2f} µs"],
        ["open the run", f"{opened:.0f} ms"],
        ["first packet", f"{whole:.1f} ms, {first_size / 1e3:.1f} kB"],
        ["update", f"{update:.2f} ms, {size / 1e3:.2f} kB"],
    ]
    report.table(["", ""], rows)
    if theirs:
        mine, other = statistics.median(ours) * 1e6, statistics.median(theirs) * 1e6
        report.result("dashboard.record", ours=mine, peer="TensorBoard", theirs=other, target=0.1)
    everything = STEPS * len(NAMES) * 12 / 1e3
    report.result("dashboard.first-packet-kB", ours=first_size / 1e3, peer="all-points", theirs=everything, target=0.02)


if __name__ == "__main__":
    main()
