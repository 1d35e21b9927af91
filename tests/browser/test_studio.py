"""What stands around the notebook: panel, toolbar, status bar, titles, launcher."""

from __future__ import annotations

import re
import time

from playwright.sync_api import expect

from tests.browser.lab import status, wait_for
from tests.browser.programs import write_notebook, write_training


def test_panel_lists_and_steers_a_run(open_lab, server):
    path = "panel/train.ipynb"
    write_training(server.root / path)
    lab = open_lab(path)
    panel = lab.show_panel()
    expect(panel).to_contain_text("This machine", ignore_case=True)
    expect(panel.get_by_role("meter", name="Memory")).to_have_attribute("aria-valuetext", re.compile("GB"))
    lab.run_all()
    run = panel.locator(".lit-Run")
    expect(run).to_be_visible(timeout=40_000)
    record = server.runs()[-1]
    expect(run).to_contain_text("train.ipynb")
    expect(run.locator(".lit-Sparkline-line")).to_be_attached()
    kernel = panel.locator(".lit-Kernel", has_text="train.ipynb")
    expect(kernel).to_contain_text("running")
    expect(kernel).to_contain_text(re.compile(r"\d+\s(MB|GB)"))

    # The state is told in the toolbar, the status bar, the tab and the browser's title, and taken away again.
    bar = lab.page.locator("#jp-main-statusbar")
    expect(lab.page.locator(".lit-RunButton-run")).to_contain_text(re.compile(r"\d+\s%"))
    expect(bar).to_contain_text(re.compile(r"version_0 \d+\s%"))
    expect(bar).to_contain_text(re.compile(r"running \[2\] \d+\ss"))
    expect(lab.page).to_have_title(re.compile(r"^\d+\s% · train.ipynb"))
    tab = lab.page.locator(".lm-TabBar-tab", has_text="train.ipynb")
    expect(tab).to_have_attribute("data-lit-studio", re.compile(r"^\d+\s%$"))

    run.get_by_role("button", name="Pause version_0").click()
    wait_for(lambda: status(record)["state"] == "paused", "the run pauses", 5)
    expect(run.get_by_role("button", name="Resume version_0")).to_be_visible()
    expect(lab.page).to_have_title(re.compile(r"^❚❚"))
    run.get_by_role("button", name="Resume version_0").click()
    wait_for(lambda: status(record)["state"] == "running", "the run goes on", 5)

    lab.page.locator(".lit-RunButton-run").click()
    lab.page.locator(".lm-Menu-item", has_text="Stop").click()
    wait_for(lambda: status(record)["state"] == "stopped", "the toolbar's menu stops the run", 10)
    expect(panel.locator(".lit-Ended").first).to_contain_text("stopped")
    expect(panel.locator(".lit-Run")).to_have_count(0)
    expect(lab.page).to_have_title(re.compile(r"^train.ipynb"))
    expect(tab).not_to_have_attribute("data-lit-studio", re.compile("."))
    assert lab.errors == []


def test_panel_goes_to_the_output_of_a_run_from_another_tab(open_lab, server):
    path = "reveal/train.ipynb"
    write_training(server.root / path)
    lab = open_lab(path)
    panel = lab.show_panel()
    lab.run_all()
    run = panel.locator(".lit-Run")
    expect(run).to_be_visible(timeout=40_000)
    lab.command("launcher:create")
    expect(lab.dashboard).not_to_be_in_viewport()
    run.locator(".lit-Row-name").click()
    expect(lab.dashboard).to_be_in_viewport()
    expect(lab.page.locator(".jp-Notebook .jp-mod-active .lit-controls, .jp-mod-active .lit-status")).not_to_have_count(
        0
    )
    # Keys: an arrow walks the rows, a slash goes to the filter, Escape clears it.
    panel.locator(".lit-Kernel").first.focus()
    lab.page.keyboard.press("ArrowDown")
    expect(panel.locator(".lit-Run")).to_be_focused()
    lab.page.keyboard.press("/")
    expect(panel.get_by_role("searchbox")).to_be_focused()
    lab.page.keyboard.type("no such run")
    expect(panel.locator("[data-lit-row]")).to_have_count(0)
    lab.page.keyboard.press("Escape")
    expect(panel.locator(".lit-Run")).to_be_visible()


def test_panel_keeps_the_last_good_state_while_the_server_is_away(open_lab, server):
    lab = open_lab()
    panel = lab.show_panel()
    memory = panel.get_by_role("meter", name="Memory")
    expect(memory).to_be_visible()
    expect(panel).to_contain_text("No kernels.")
    expect(panel).to_contain_text("Nothing trains.")
    with lab.cut_off("**/lit-studio/api/**"):
        strip = panel.get_by_role("alert")
        expect(strip).to_contain_text("The server does not answer")
        expect(strip).to_contain_text("Shown as of")
        expect(memory).to_be_visible()
    strip.get_by_role("button", name="Try again now").click()
    expect(strip).to_have_count(0)


def test_shutting_down_a_kernel_asks_first(open_lab, server):
    path = "kernel/idle.ipynb"
    write_notebook(server.root / path, "import time; time.sleep(600)")
    lab = open_lab(path)
    panel = lab.show_panel()
    lab.run_all()
    row = panel.locator(".lit-Kernel", has_text="idle.ipynb")
    expect(row).to_contain_text("running")
    row.hover()
    row.get_by_role("button", name="Interrupt idle.ipynb").click()
    expect(lab.cell(0)).to_contain_text("KeyboardInterrupt", timeout=20_000)
    row.focus()
    row.press("Delete")
    dialog = lab.page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("All its variables are lost")
    dialog.get_by_role("button", name="Cancel").click()
    assert len(server.api("api/kernels")) == 1
    row.press("Delete")
    dialog.get_by_role("button", name="Shut Down").click()
    wait_for(lambda: server.api("api/kernels") == [], "the kernel ends", 15)
    expect(row).to_have_count(0)


def test_launcher_card_opens_a_copy_of_the_quickstart(open_lab, server):
    folder = server.root / "fresh"
    folder.mkdir()
    lab = open_lab()
    lab.picture("launcher")
    lab.page.evaluate("() => window.jupyterapp.commands.execute('filebrowser:go-to-path', {path: 'fresh'})")
    lab.command("launcher:create", cwd="fresh")
    card = lab.page.locator(".jp-Launcher:visible .jp-LauncherCard", has_text="Quickstart: train digits").last
    card.click()
    expect(lab.page.locator(".lm-TabBar-tab", has_text="01-quickstart.ipynb")).to_be_visible(timeout=30_000)
    assert (folder / "01-quickstart.ipynb").is_file()
    expect(lab.page.locator(".jp-NotebookPanel .jp-Cell").first).to_be_visible()


def test_commands_are_in_the_palette_under_one_name(open_lab, server):
    lab = open_lab()
    lab.command("apputils:activate-command-palette")
    field = lab.page.locator(".lm-CommandPalette-input")
    field.fill("Lit Studio:")
    labels = lab.page.locator(".lm-CommandPalette-itemLabel")
    expect(labels.first).to_be_visible()
    texts = labels.all_inner_texts()
    ours = [text for text in texts if text.startswith("Lit Studio: ")]
    assert {"Lit Studio: Stop the Run", "Lit Studio: Open the Quickstart"} <= set(ours), texts


def test_a_long_run_ends_with_a_note(open_lab, server):
    path = "note/train.ipynb"
    write_training(server.root / path, epochs=6)
    lab = open_lab(path)
    lab.set_setting("lit-studio:studio", "notifyAfter", 1)
    lab.show_panel()
    lab.run_all()
    note = lab.page.locator(".Toastify__toast", has_text="version_0 finished")
    expect(note).to_be_visible(timeout=60_000)
    expect(note).to_contain_text("train_loss")
    began = time.monotonic()
    lab.wait_until_saved()
    assert time.monotonic() - began < 20
