"""The how-to on migration takes a program over, runs it, and loads its checkpoint."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "howto" / "migrate-from-lightning.ipynb"


@pytest.mark.slow
def test_a_program_is_taken_over_run_and_its_checkpoint_loaded(tmp_path):
    copy = tmp_path / NOTEBOOK.name
    copy.write_bytes(NOTEBOOK.read_bytes())
    command = [str(Path(sys.executable).with_name("lit-studio")), "run", str(copy), "--output", "done.ipynb", "--json"]
    environment = {
        **os.environ,
        "LIT_STUDIO_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(tmp_path),
    }
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, env=environment)
    assert told.returncode == 0, told.stdout + told.stderr
    cells = nbformat.read(tmp_path / "done.ipynb", as_version=4).cells
    printed = {
        cell.id: re.sub(r"\x1b\[[\d;]*m", "", "".join(output.get("text", "") for output in cell.get("outputs", [])))
        for cell in cells
    }
    assert "-import lightning.pytorch as pl\n+import lit_studio.pytorch as pl\n" in printed["look"]
    assert "cluster.py:2: lightning.pytorch.accelerators.XLAAccelerator" in printed["look"]
    assert "status 1" in printed["look"]
    assert printed["write"].count("status 0") == 2
    assert "train.py: nothing to change." in printed["write"]
    assert "test_acc" in printed["run"]
    found = re.search(r"hidden 64, test accuracy (\d+\.\d) %", printed["checkpoint"])
    assert float(found[1]) >= 92
