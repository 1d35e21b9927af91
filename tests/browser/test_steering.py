"""A person steers a run from its cell: each act takes effect while the cell runs, and can be seen."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.lab import Lab, events, status, wait_for
from tests.browser.programs import FAIL, MODEL, write_notebook, write_training

# What is promised is 250 ms; what is asserted leaves room for a machine that does other work.
PROMISED = 0.25
ASSERTED = 2.0


@pytest.fixture
def training(open_lab, server, request) -> tuple[Lab, Path]:
    """A page on a notebook that trains, its plot drawn, and the run's record."""
    path = f"{request.node.name}/train.ipynb"
    write_training(server.root / path)
    lab = open_lab(path)
    lab.run_all()
    lab.wait_for_plot()
    return lab, server.runs()[-1]


def applied(record: Path, name: str) -> list[dict]:
    """The run's ``CommandApplied`` events of one command."""
    return [event for event in events(record) if event["event"] == "CommandApplied" and event["name"] == name]


def test_learning_rate_changes_at_once_and_leaves_a_mark(training):
    lab, record = training
    marks = lab.marks()
    took = []
    for choice, rate in (("×½", 0.005), ("÷10", 0.0005)):
        lab.act("lr")
        button = lab.dashboard.get_by_role("button", name=choice, exact=True)
        expect(button).to_be_visible()
        n = len(applied(record, "set_lr"))
        clicked = time.time()
        button.click()
        wait_for(lambda n=n: len(applied(record, "set_lr")) > n, "the learning rate is applied", 5, 0.01)
        took.append(applied(record, "set_lr")[-1]["time"] - clicked)
        wait_for(lambda rate=rate: status(record)["learning_rate"] == pytest.approx(rate), f"lr is {rate}", 5)
        expect(lab.dashboard.locator(".lit-rate-value")).not_to_have_text("0.01")
    print(f"click to CommandApplied: {', '.join(f'{seconds * 1000:.0f} ms' for seconds in took)}")
    assert max(took) < ASSERTED, f"{took} s, promised {PROMISED} s"
    wait_for(lambda: lab.marks() >= marks + 2, "marks on the curve")
    lab.act("stop")
    wait_for(lambda: status(record)["state"] == "stopped", "the run stops", 10)


def test_checkpoint_now_writes_a_file(training):
    lab, record = training
    checkpoints = record.parent / "checkpoints"
    before = set(checkpoints.glob("*.ckpt"))
    lab.act("save")
    saved = wait_for(
        lambda: [
            event for event in events(record) if event["event"] == "CheckpointSaved" and event["reason"] == "user"
        ],
        "the checkpoint is saved",
        10,
    )
    path = Path(saved[-1]["path"])
    path = path if path.is_absolute() else record.parent.parents[1] / path
    assert path.is_file()
    assert path not in before
    assert status(record)["state"] == "running", "saving must not end the run"
    lab.act("stop")
    wait_for(lambda: status(record)["state"] == "stopped", "the run stops", 10)


def test_stop_ends_the_cell_without_an_error_and_the_next_cell_runs(training, server):
    lab, record = training
    lab.act("stop")
    wait_for(lambda: status(record)["state"] == "stopped", "the run stops", 10)
    lab.wait_until_idle(20)
    assert "error" not in lab.output_types(1)
    expect(lab.cell(2).locator(".jp-OutputArea-output")).to_contain_text("interrupted: True")
    assert list((record.parent / "checkpoints").glob("*.ckpt")), "Stop must save what was learned"
    lab.save()
    saved = json.loads(
        (server.root / "test_stop_ends_the_cell_without_an_error_and_the_next_cell_runs/train.ipynb").read_text()
    )
    assert [output["output_type"] for output in saved["cells"][1]["outputs"]].count("error") == 0


def test_keys_steer_the_run_while_the_dashboard_has_the_focus(training):
    lab, record = training
    lab.dashboard.locator("[data-act='pause']").focus()
    lab.dashboard.press("Space")
    wait_for(lambda: status(record)["state"] == "paused", "Space pauses", 5)
    expect(lab.dashboard.locator("[data-act='resume']")).to_be_visible()  # Space means what the button says
    lab.dashboard.press("Space")
    wait_for(lambda: status(record)["state"] == "running", "Space resumes", 5)


def test_an_error_is_told_where_it_happened(open_lab, server):
    path = "failing/train.ipynb"
    write_notebook(server.root / path, MODEL, FAIL)
    lab = open_lab(path)
    panel = lab.show_panel()
    lab.run_all()
    wait_for(lambda: "error" in lab.output_types(1), "the cell fails")
    expect(lab.cell(1).locator(".jp-OutputArea-output").last).to_contain_text("ValueError: the data ran dry")
    expect(lab.dashboard).to_contain_text("the data ran dry")
    record = server.runs()[-1]
    assert status(record)["state"] == "failed"
    expect(panel.locator(".lit-Ended").first.get_by_role("img", name="failed")).to_be_visible(timeout=20_000)
