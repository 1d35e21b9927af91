"""The main job: a newcomer opens the quickstart, runs it, watches, steers and reloads, and keeps the result."""

from __future__ import annotations

import json
import re
import shutil
import time

import pytest
from playwright.sync_api import expect

from tests.browser.lab import RUN_TYPE, Lab, status, wait_for

NOTEBOOK = "01-quickstart.ipynb"


@pytest.fixture
def quickstart(server, request) -> str:
    """The path of a fresh copy of the quickstart, as the launcher's card makes one."""
    folder = request.node.name
    (server.root / folder).mkdir()
    shutil.copy(server.root / "guide" / NOTEBOOK, server.root / folder)
    return f"{folder}/{NOTEBOOK}"


def last_output(notebook: dict) -> str:
    """The text of the last code cell's outputs."""
    cell = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"][-1]
    return "".join(
        "".join(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in cell["outputs"]
    )


def accuracy(text: str) -> float:
    """The first percentage in ``text``, as a share of 1."""
    found = re.search(r"(\d+(?:\.\d+)?)\s*%", text) or re.search(r"(0\.\d+|1\.0+)", text)
    assert found, f"no accuracy in {text!r}"
    value = float(found[1])
    return value / 100 if "%" in found[0] else value


def picture_in_mid_run(lab: Lab) -> None:
    """The screenshots that the documentation shows: halfway, in both themes."""
    panel = lab.show_panel()
    lab.wait_for_plot()
    run = lab.server.runs()[-1]
    wait_for(lambda: status(run)["epoch"] >= 20, "half of the run", 120)
    for theme, name in (("light", "dashboard"), ("dark", "dashboard-dark")):
        lab.set_theme(theme)
        panel.locator(".lit-Run .lit-Row-name").click()
        lab.dashboard.evaluate("node => node.closest('.jp-Cell').scrollIntoView({block: 'start'})")
        lab.picture(name)


def test_quickstart_is_watched_paused_and_reloaded_while_it_trains(open_lab, server, quickstart):
    lab = open_lab(quickstart)
    panel = lab.show_panel()
    lab.run_all()
    lab.wait_for_plot()
    record = server.runs()[-1]

    # The curve grows while the cell runs, and so does the panel's progress.
    before = lab.points()
    wait_for(lambda: lab.points() > before + 20, "the plot's points grow")
    bar = panel.get_by_role("progressbar").first
    share = int(bar.get_attribute("aria-valuenow") or 0)
    wait_for(lambda: int(bar.get_attribute("aria-valuenow") or 0) > share, "the panel's progress grows")
    expect(panel.locator(".lit-Run .lit-Row-name")).to_have_text("version_0")

    # Pause: no new step for two seconds, though the cell is still running.
    lab.act("pause")
    wait_for(lambda: status(record)["state"] == "paused", "the run pauses", 5)
    step = status(record)["step"]
    time.sleep(2)
    assert status(record)["step"] == step
    assert status(record)["state"] == "paused"

    # The theme changes under a paused run: its charts follow, though no new point comes.
    light = lab.line_colours()
    lab.set_theme("dark")
    wait_for(lambda: not set(light) & set(lab.line_colours()), "the charts take the dark theme's colours", 10)
    lab.picture("dashboard-paused-dark")
    lab.act("resume")
    wait_for(lambda: status(record)["step"] > step, "the run goes on", 5)

    # Reload in mid-run: the whole curve is back, from its first point on, and goes on.
    lab.wait_until_run_is_saved(quickstart)
    held = lab.points()
    lab.reload()
    assert status(record)["state"] == "running", "the quickstart is too short for this test"
    lab.wait_for_plot()
    wait_for(lambda: lab.points() >= held, "the whole curve is back", 10)
    assert lab.first_x() <= 2
    again = lab.points()
    wait_for(lambda: lab.points() > again, "the curve goes on")
    lab.act("stop")
    wait_for(lambda: status(record)["state"] != "running", "Stop works after the reload", 10)
    assert lab.errors == []


def test_quickstart_file_holds_accuracy_and_picture(open_lab, server, quickstart):
    lab = open_lab(quickstart)
    lab.run_all()
    if lab.pictures:
        picture_in_mid_run(lab)
    lab.wait_until_idle(120)
    text = lab.last_code_cell().locator(".jp-OutputArea-output").last.inner_text()
    assert accuracy(text) >= 0.97, text
    lab.last_code_cell().scroll_into_view_if_needed()
    lab.picture("quickstart-ended")
    lab.save()

    saved = json.loads((server.root / quickstart).read_text())
    assert accuracy(last_output(saved)) >= 0.97
    bundles = [output["data"] for cell in saved["cells"] for output in cell.get("outputs", []) if "data" in output]
    runs = [bundle for bundle in bundles if RUN_TYPE in bundle]
    assert runs, "no run in the saved file"
    for bundle in runs:
        assert len(bundle["image/png"]) > 1000
        assert "application/vnd.jupyter.widget-view+json" not in bundle
    assert lab.errors == []
