"""The guide to the Trainer and the how-to on profiling do what they promise when run without a page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
RUN_TYPE = "application/vnd.lit-studio.run.v1+json"


def executed(path, folder):
    """The notebook's cells by id after ``lit-studio run``, and what that said of runs."""
    copy = folder / path.name
    copy.write_bytes(path.read_bytes())
    command = [str(Path(sys.executable).with_name("lit-studio")), "run", str(copy), "--output", "done.ipynb", "--json"]
    environment = {**os.environ, "LIT_STUDIO_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, env=environment)
    assert told.returncode == 0, told.stdout + told.stderr
    cells = {cell["id"]: cell for cell in nbformat.read(folder / "done.ipynb", as_version=4).cells}
    for cell in cells.values():
        for output in cell.get("outputs", []):
            assert "Warning" not in output.get("text", ""), (cell["id"], output["text"])
    return cells, json.loads(told.stdout)["runs"]


def text(cell):
    return "".join(output.get("text", "") for output in cell["outputs"])


@pytest.mark.slow
def test_the_guide_to_the_trainer(tmp_path):
    cells, runs = executed(NOTEBOOKS / "guide" / "02-trainer.ipynb", tmp_path)
    assert all(run["status"]["state"] == "finished" for run in runs)
    accuracy, predicted = re.search(
        r"test accuracy: (\d+\.\d) %, predicted (\d+) digits", text(cells["result"])
    ).groups()
    assert float(accuracy) >= 95
    assert int(predicted) == 300
    suggested = re.search(r"suggested: (\S+), and it was set: (\S+)", text(cells["rate"])).groups()
    assert suggested[0] == suggested[1]
    assert 0.001 < float(suggested[0]) < 10
    assert re.search(r"largest gradient: \d+\.\d\d", text(cells["callback"]))
    assert text(cells["resume"]).rstrip().endswith("epoch 5")
    assert {"training_step", "optimizer_step"} <= set(re.findall(r"\w+_step", text(cells["speed"])))
    kept = sorted(path.name for path in (tmp_path / "lightning_logs" / "version_0" / "checkpoints").iterdir())
    assert len(kept) == 3
    assert kept[-1] == "last.ckpt"
    shown = [output.data for output in cells["train"].outputs if output.output_type == "display_data"]
    assert [set(data) for data in shown] == [{RUN_TYPE, "image/png", "text/plain"}]


@pytest.mark.slow
def test_the_how_to_on_profiling(tmp_path):
    cells, _ = executed(NOTEBOOKS / "howto" / "find-where-the-time-goes.ipynb", tmp_path)
    alone, helped = (
        float(re.search(r"waited for data: (\d+\.\d+) s", text(cells[name])).group(1)) for name in ("wait", "workers")
    )
    assert alone > 0.8  # 400 samples of 2 ms; how much workers help depends on the machine
    assert helped > 0
    rows = text(cells["simple"])
    assert all(name in rows for name in ("training_step", "backward", "optimizer_step", "train_dataloader_next"))
    assert "Self CPU" in text(cells["torch"])
    assert re.search(r"\['.*\.pt\.trace\.json'\]", text(cells["torch"]))
