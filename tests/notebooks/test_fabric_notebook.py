"""The how-to on loops of one's own does what it promises when run without a page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "howto" / "plain-loop-with-fabric.ipynb"
RUN_TYPE = "application/vnd.lit-studio.run.v1+json"


@pytest.mark.slow
def test_a_plain_loop_ends_with_a_picture_and_its_accuracy(tmp_path):
    copy = tmp_path / NOTEBOOK.name
    copy.write_bytes(NOTEBOOK.read_bytes())
    command = [str(Path(sys.executable).with_name("lit-studio")), "run", str(copy), "--output", "done.ipynb", "--json"]
    environment = {**os.environ, "LIT_STUDIO_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=environment)
    assert told.returncode == 0, told.stdout + told.stderr
    (run,) = json.loads(told.stdout)["runs"]
    assert (run["status"]["state"], run["status"]["epoch"]) == ("finished", 39)
    cells = {cell["id"]: cell for cell in nbformat.read(tmp_path / "done.ipynb", as_version=4).cells}
    (shown,) = cells["train"].outputs
    assert set(shown.data) == {RUN_TYPE, "image/png", "text/plain"}
    assert shown.data["text/plain"].startswith("version_0: training finished, 1,760 steps in ")
    found = re.fullmatch(r"test accuracy: (\d+\.\d) %\n", cells["result"].outputs[0].text)
    assert float(found[1]) >= 96
    changed = [line for line in cells["train"].source.splitlines() if re.search(r"# \d", line)]
    assert [line.partition("# ")[2][0] for line in changed] == list("12345")
