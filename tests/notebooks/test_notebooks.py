"""The notebooks that we ship are clean, valid, and do what they promise when run without a page."""

from __future__ import annotations

import base64
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
QUICKSTART = NOTEBOOKS / "guide" / "01-quickstart.ipynb"
SHIPPED = sorted(path for folder in ("guide", "howto") for path in (NOTEBOOKS / folder).glob("*.ipynb"))
RUN_TYPE = "application/vnd.lit-studio.run.v1+json"


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_is_something_to_check():
    assert QUICKSTART in SHIPPED


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_shipped_notebook_is_valid_and_clean(path):
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert text == nbformat.writes(notebook) + "\n", "written otherwise than nbformat does, so a save would change it"
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][a-z-]+", cell_id) for cell_id in ids), "ids say what a cell is for"
    for cell in code_cells(notebook):
        assert (cell.outputs, cell.execution_count, dict(cell.metadata)) == ([], None, {}), cell.id
        compile(cell.source, cell.id, "exec")
    assert notebook.cells[0].source.startswith("# ")


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The quickstart as a newcomer's ``lit-studio run`` leaves it, and what was printed."""
    folder = tmp_path_factory.mktemp("quickstart")
    target = folder / "executed.ipynb"
    copy = folder / QUICKSTART.name
    copy.write_bytes(QUICKSTART.read_bytes())
    command = [str(Path(sys.executable).with_name("lit-studio")), "run", str(copy), "--output", str(target), "--json"]
    # One thread: on a machine that does other things too, two of torch's wait for each other most of the time.
    environment = {**os.environ, "LIT_STUDIO_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, capture_output=True, text=True, timeout=280, env=environment)
    assert told.returncode == 0, told.stdout + told.stderr
    return nbformat.read(target, as_version=4), json.loads(told.stdout), folder


def data_of(notebook, cell_id):
    (cell,) = [cell for cell in notebook.cells if cell.get("id") == cell_id]
    return [output.data for output in cell.outputs if output.output_type in ("display_data", "execute_result")]


@pytest.mark.slow
def test_the_quickstart_reaches_its_accuracy(executed):
    notebook, report, _ = executed
    (printed,) = code_cells(notebook)[-1].outputs
    found = re.fullmatch(r"test accuracy: (\d+\.\d) %\n", printed.text)
    assert found, printed.text
    assert float(found[1]) >= 97
    (run,) = report["runs"]
    assert run["status"]["state"] == "finished"
    assert round(100 * run["status"]["metrics"]["test_acc"], 1) == float(found[1])


@pytest.mark.slow
def test_the_quickstart_leaves_pictures_and_no_widget(executed):
    notebook, report, folder = executed
    (training,) = data_of(notebook, "train")
    assert set(training) == {RUN_TYPE, "image/png", "text/plain"}
    assert training[RUN_TYPE]["run"] == report["runs"][0]["id"]
    assert training[RUN_TYPE]["directory"] == "lightning_logs/version_0"
    width, height = struct.unpack(">II", base64.b64decode(training["image/png"])[16:24])
    assert width > 1000
    assert height > 400
    assert training["text/plain"].startswith("version_0: training finished, 50 epochs, 1,850 steps in ")
    evaluation = [data for data in data_of(notebook, "test") if RUN_TYPE in data]
    assert [data[RUN_TYPE]["view"] for data in evaluation] == ["evaluation"]
    (grid,) = data_of(notebook, "look")
    assert base64.b64decode(grid["image/png"])[:4] == b"\x89PNG"
    assert "widgets" not in notebook.metadata
    for cell in code_cells(notebook):
        assert not [output for output in cell.outputs if "Warning" in output.get("text", "")], cell.id
    assert (folder / "lightning_logs" / "version_0" / "checkpoints").is_dir()


@pytest.mark.slow
def test_the_quickstart_is_light_enough_for_version_control(executed):
    notebook, _, _ = executed
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert len(json.dumps(output)) < 50_000, cell.id
