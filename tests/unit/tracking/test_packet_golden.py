"""Packets as bytes on disk, which the TypeScript decoder is tested against too: the format can't drift by accident.

After a wanted change of the format, ``python -m tests.unit.tracking.test_packet_golden`` writes the fixtures anew.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from lit_studio.base.json_files import replace_json
from lit_studio.base.runs import BlockWriter, RunDirectory, RunStatus, encode_points
from lit_studio.base.runs.directory import RunInfo
from lit_studio.base.runs.log import EVENT, POINTS, SERIES
from lit_studio.tracking import RunReader
from tests.unit.tracking.packet_client import decode

FOLDER = Path(__file__).parents[2] / "fixtures" / "packets"
INFO = RunInfo(
    id="5eed0001", name="version_0", created=1.7e9, pid=1, process_started=0.0, host="lab", notebook="digits.ipynb",
    cwd="/home/ada", python="3.11.0", packages={"torch": "2.13.0"},
)  # fmt: skip
STATUS = RunStatus(
    state="finished", stage="train", step=200, planned_steps=200, epoch=2, max_epochs=2, batch=100, batches=100,
    rate=80.0, samples_per_second=2560.0, active=2.5, learning_rate=0.01, device="cpu", started=1.7e9,
    updated=1.7e9 + 3, headline={"val_acc": 0.975}, metrics={"train_loss": "nan", "val_acc": 0.975},
)  # fmt: skip
QUERIES = {
    "empty": {},
    "whole": {"width": 1024},
    "reduced": {"width": 64},
    "continued": {"width": 64, "have": "0:4:50,1:1:2,2:4:50", "events": 3},
    "window": {"width": 64, "axis": "epoch", "x0": 0.5, "x1": 1.25},
}


def build_run(folder: Path, empty: bool) -> RunDirectory:
    """200 steps in 20 flushes: a loss that ends in NaN, a metric once an epoch, a gradient norm with a spike."""
    run = RunDirectory(folder, INFO)
    run.record.mkdir(parents=True)
    replace_json(run.record / "run.json", {name: getattr(INFO, name) for name in INFO.__slots__})
    if empty:
        return run
    replace_json(run.status_file, STATUS.to_json())
    metrics, events = BlockWriter(run.metrics_log), BlockWriter(run.events_log)
    for number, (name, headline) in enumerate([("train_loss", True), ("val_acc", True), ("grad norm ‖g‖", False)]):
        record = {"id": number, "name": name, "prog_bar": headline}
        metrics.append((SERIES, json.dumps(record).encode()))

    def event(name: str, **fields: object) -> None:
        events.append((EVENT, json.dumps({"event": name, **fields}).encode()))

    event("RunStarted", time=1.7e9, stage="train", max_epochs=2, max_steps=-1, step=0, epoch=0, device="cpu")
    for flush in range(20):
        steps = list(range(flush * 10, flush * 10 + 10))
        loss = [2.0 / (1 + step / 16) + step % 7 / 64 for step in steps]
        norm = [1.0 + step % 5 / 8 for step in steps]
        if flush == 9:
            norm[4], norm[5] = float("inf"), 1e30
        if flush >= 18:
            loss = [float("nan")] * 10
        chunks = [(0, steps, loss), (2, steps, norm)]
        if flush % 10 == 9:
            chunks.append((1, [steps[-1] + 1], [0.9375 if flush == 9 else 0.975]))
        block = encode_points(1.7e9 + (flush + 1) / 8, (flush + 1) / 8, 320 * (flush + 1), flush // 10, chunks)
        metrics.append((POINTS, block))
        if flush % 10 == 9:
            event("EpochEnded", time=1.7e9 + (flush + 1) / 8, step=(flush + 1) * 10, epoch=flush // 10)
    message = "train_loss became nan at step 180."
    event("WarningRaised", time=1.7e9 + 2.4, step=180, epoch=1, kind="non-finite", message=message)
    event("RunEnded", time=1.7e9 + 3, state="finished", stage="train", step=200, epoch=2, error="", metrics={})
    metrics.close()
    events.close()
    return run


def make_packet(folder: Path, name: str) -> bytes:
    return RunReader(build_run(folder / name, empty=name == "empty")).packet(**QUERIES[name])


def plain(values: np.ndarray) -> list[float | str]:
    return [value if np.isfinite(value) else str(value) for value in values.tolist()]


def describe(name: str, packet: bytes) -> str:
    header, arrays = decode(packet)
    record = {
        "query": QUERIES[name],
        "header": header,
        "series": [{"x": plain(x), "y": plain(y)} for x, y in arrays],
    }
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


@pytest.mark.parametrize("name", QUERIES)
def test_packets_are_the_bytes_on_file(name, tmp_path):
    packet = make_packet(tmp_path, name)
    assert packet == (FOLDER / f"{name}.bin").read_bytes()
    assert describe(name, packet) == (FOLDER / f"{name}.json").read_text(encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for name in QUERIES:
            packet = make_packet(Path(scratch), name)
            (FOLDER / f"{name}.bin").write_bytes(packet)
            (FOLDER / f"{name}.json").write_text(describe(name, packet), encoding="utf-8")
            print(name, len(packet), "bytes", file=sys.stderr)
