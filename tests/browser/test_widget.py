"""The other door: where the front end doesn't know our run type, the anywidget draws the same view over its comm."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from tests.browser.lab import RUN_TYPE, Server, status, wait_for

VIEW_TYPE = "application/vnd.jupyter.widget-view+json"
NOTEBOOK = "01-quickstart.ipynb"


@pytest.fixture
def without_labextension(server: Server, monkeypatch):
    """The page config that an administrator writes to switch our labextension off."""
    folder = server.folder / "config" / "labconfig"
    folder.mkdir(parents=True)
    (folder / "page_config.json").write_text('{"disabledExtensions": {"lit-studio": true}}')
    (server.root / "widget").mkdir()
    shutil.copy(server.root / "guide" / NOTEBOOK, server.root / "widget")
    yield
    shutil.rmtree(folder)


def test_the_widget_draws_and_steers_while_the_cell_runs(without_labextension, open_lab, server):
    path = f"widget/{NOTEBOOK}"
    lab = open_lab(path)
    assert not lab.page.locator("#lit-studio-panel").count(), "the labextension is off"
    lab.run_all()
    lab.wait_for_plot()
    record = server.runs()[-1]
    before = lab.points()
    wait_for(lambda: lab.points() > before + 20, "the plot's points grow", 30)
    assert status(record)["state"] == "running"
    lab.picture("widget")

    # Over the comm, on a shell of its own: the main one is busy with the cell for as long as it trains.
    lab.act("pause")
    wait_for(lambda: status(record)["state"] == "paused", "the run pauses", 5)
    step = status(record)["step"]
    time.sleep(1)
    assert status(record)["step"] == step
    lab.act("resume")
    wait_for(lambda: status(record)["step"] > step, "the run goes on", 5)
    lab.act("stop")
    wait_for(lambda: status(record)["state"] in ("stopped", "finished"), "the run stops", 10)
    lab.wait_until_idle()

    lab.save()
    lab.wait_until_saved()
    cells = json.loads((server.root / path).read_text())["cells"]
    bundles = [output["data"] for cell in cells for output in cell.get("outputs", []) if "data" in output]
    runs = [bundle for bundle in bundles if RUN_TYPE in bundle]
    assert [bundle[RUN_TYPE]["view"] for bundle in runs] == ["training", "evaluation"]
    for bundle in runs:
        assert "image/png" in bundle
        assert VIEW_TYPE not in bundle
    pictures = lab.page.locator(".jp-RenderedImage img")
    assert pictures.count() == 3
