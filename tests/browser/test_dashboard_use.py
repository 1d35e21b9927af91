"""The dashboard in a person's hands: without a mouse, without colours, in any theme and width, and after being away."""

from __future__ import annotations

import math
import random
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from lit_studio.base.events import CheckpointSaved, CommandApplied, RunStarted, WarningRaised
from tests.browser.dashboards import GrowingRun
from tests.browser.lab import Lab, wait_for

AXE = Path(__file__).parents[2] / "labextension/node_modules/axe-core/axe.min.js"
THEMES = ("light", "dark", "dark high contrast")
NAMES = ["train_loss", "val_loss", "train_acc", "val_acc", "grad_norm", "lr-Adam"]


@pytest.fixture
def run(server, request):
    """A run with everything in it that a dashboard can show: a branch, marks of all kinds, a schedule."""
    folder = server.root / re.sub(r"\W+", "-", request.node.name)
    folder.mkdir()
    run = GrowingRun(folder, NAMES, planned=4_000, ago=60)
    rate = lambda first, n: [1e-3 if step < 800 else 1e-4 for step in range(first, first + n)]  # noqa: E731
    for first in range(0, 1_500, 50):
        grow(run, first, rate(first, 50))
    run.tell(CheckpointSaved(run.now, 1_400, 5, str(run.run.path / "checkpoints/epoch=5-step=1400.ckpt"), "user"))
    run.tell(RunStarted(run.now, "train", 16, -1, step=1_000, epoch=4))
    run.step, run.epoch = 1_000, 4
    for first in range(1_000, 2_000, 50):
        grow(run, first, rate(first, 50))
    now = run.now
    run.tell(CommandApplied(now - 15, 1_250, 5, "set_lr", "ada", "lr 0.001 → 0.0005"))
    run.tell(WarningRaised(now - 8, 1_600, 6, "slow-loader", "Half of the time is spent waiting for the data loader."))
    run.tell(CheckpointSaved(now, 1_900, 7, str(run.run.path / "checkpoints/epoch=7-step=1900.ckpt"), "monitor", True))
    run.write_notebook()
    yield run
    run.end()


def grow(run: GrowingRun, first: int, rates: list[float]) -> None:
    steps = range(first, first + len(rates))
    fall = [math.exp(-step / 700) for step in steps]
    rough = random.Random(first)
    shapes = {"train_loss": (0.2, 2.0), "val_loss": (0.45, 1.8), "train_acc": (0.97, -0.8), "val_acc": (0.9, -0.75)}
    shapes["grad_norm"] = (0.8, 3.0)
    values = {name: [end + way * at + rough.gauss(0, 0.04) for at in fall] for name, (end, way) in shapes.items()}
    run.grow(len(rates), {**values, "lr-Adam": rates}, seconds=1.1)


@pytest.fixture
def lab(open_lab, run) -> Lab:
    lab = open_lab(f"{run.folder.name}/train.ipynb")
    lab.wait_for_plot()
    return lab


def violations(lab: Lab, selector: str) -> list[str]:
    """What axe-core has to say about the elements that match."""
    lab.page.evaluate(AXE.read_text())
    found = lab.page.evaluate("selector => axe.run(selector).then(result => result.violations)", selector)
    return [f"{one['id']}: {one['help']} {[node['html'][:160] for node in one['nodes']]}" for one in found]


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_on_dashboard_and_panel(lab, theme):
    lab.set_theme(theme.title())
    lab.show_panel()
    for fold in lab.dashboard.locator("summary").all():
        fold.click()
    lab.dashboard.locator(".lit-legend-item").first.click()  # a hidden line has to be readable too
    lab.page.wait_for_timeout(1_500)
    found = [*violations(lab, ".lit-dashboard"), *violations(lab, "#lit-studio-panel")]
    assert found == []
    lab.dashboard.press("?")
    expect(lab.dashboard.locator(".lit-keys")).to_be_visible()
    assert violations(lab, ".lit-keys") == []


def test_everything_can_be_done_with_the_keyboard(lab, run):
    page = lab.page
    legend = lab.dashboard.locator(".lit-charts-first .lit-legend-item")
    legend.nth(1).focus()
    page.keyboard.press("o")
    assert [item.get_attribute("aria-pressed") for item in legend.all()] == ["false", "true"]
    page.keyboard.press("Shift+Enter")
    assert [item.get_attribute("aria-pressed") for item in legend.all()] == ["true", "true"]
    # The cursor is read out with values, in all charts at once, and held with what can be done there.
    area = lab.dashboard.locator(".lit-charts-first .lit-chart-area")
    area.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(area.locator(".lit-tip")).to_contain_text(re.compile(r"step \d+"))
    others = lab.dashboard.locator(".lit-charts-others .lit-chart:not([hidden])")
    expect(others.first.locator(".lit-legend.lit-mod-reading")).to_be_visible()
    expect(others.first.locator(".lit-cursor")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(area.get_by_role("button", name="Resume here")).to_be_focused()
    page.keyboard.press("Escape")
    expect(area.get_by_role("button", name="Resume here")).to_be_hidden()
    expect(area).to_be_focused()
    page.keyboard.press("l")
    expect(lab.dashboard.get_by_role("button", name="log y")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("?")
    expect(lab.dashboard.get_by_role("dialog", name="Keys")).to_be_focused()
    page.keyboard.press("Escape")
    expect(area).to_be_focused()
    # From the first control on, Tab reaches all of them.
    lab.dashboard.locator("[data-act=pause]").focus()
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("() => document.activeElement.className.toString().split(' ')[0]"))
    assert {"lit-button", "lit-choice", "lit-slider", "lit-chart-title", "lit-legend-item", "lit-copy"} <= seen
    expect(lab.dashboard.locator("[data-part=summary]")).to_have_text(
        re.compile(r"Training, epoch \d+ of 16, train loss 0\.\d+")
    )


def test_a_checkpoint_near_the_cursor_is_resumed_from_by_a_line_in_a_new_cell(lab):
    area = lab.dashboard.locator(".lit-charts-first .lit-chart-area")
    box = area.bounding_box()
    area.click(position={"x": box["width"] * 0.9, "y": box["height"] / 2})
    tip = area.locator(".lit-tip")
    expect(tip).to_contain_text("nearest checkpoint: epoch=7-step=1900.ckpt (step 1,900)")
    lab.picture("dashboard-resume")
    tip.get_by_role("button", name="Resume here").click()
    sources = lab.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.sharedModel.source)"
    )
    assert len(sources) == 3
    assert re.fullmatch(r'trainer\.fit\(model, ckpt_path=".*epoch=7-step=1900\.ckpt"\)', sources[1])
    compile(sources[1], "cell", "exec")


def test_numbers_tables_and_charts_are_copied_as_markdown_or_python(lab, run):
    lab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    lab.dashboard.locator(".lit-fold summary", has_text="Metrics").click()

    def copied(selector: str, *modifiers: str) -> str:
        lab.page.evaluate("() => navigator.clipboard.writeText('')")
        lab.dashboard.locator(selector).first.click(modifiers=list(modifiers))
        return wait_for(lambda: lab.page.evaluate("() => navigator.clipboard.readText()"), "something is copied", 10)

    assert re.match(r"\*\*train_loss\*\* 0\.\d+, best", copied(".lit-number .lit-copy"))
    table = copied(".lit-fold .lit-copy").splitlines()
    assert table[0] == "| metric | last | best | at | smallest | largest | points |"
    assert any(row.startswith("| val_acc | ") for row in table)
    chart = copied(".lit-charts-first .lit-copy")
    assert chart.startswith("![loss](data:image/png;base64,")
    assert "| train_loss |" in chart
    for selector in (".lit-number .lit-copy", ".lit-fold .lit-copy", ".lit-charts-first .lit-copy"):
        python = copied(selector, "Shift")
        lines = [line for line in python.splitlines() if "plt" not in line or "import" in line]
        assert f'find_run("{run.run.info.id}")' in python
        compile(python, "copied", "exec")
        exec("\n".join(line for line in lines if "matplotlib" not in line and not line.startswith("for name in [")), {})
    expect(lab.dashboard.locator(".lit-message")).to_have_text("copied as Python")


def test_the_layout_is_remembered_and_what_was_missed_is_told(lab, run):
    lab.dashboard.get_by_role("button", name="samples").click()
    lab.dashboard.press("l")
    lab.dashboard.press("+")
    lab.dashboard.locator(".lit-charts-first .lit-legend-item").nth(1).click()
    lab.dashboard.locator('[data-family="grad_norm"] .lit-chart-title').click()
    wait_for(lambda: lab.page.evaluate("() => !!localStorage.getItem('lit-studio:seen')"), "it is noted what was seen")
    # An hour passes: the note of the last visit is as old, and three epochs and a checkpoint have come since.
    lab.page.goto("about:blank")
    for first in range(run.step, run.step + 750, 50):
        grow(run, first, [1e-4] * 50)
    age = """() => localStorage.setItem('lit-studio:seen', localStorage.getItem('lit-studio:seen')
      .replace(/"time":(\\d+)/g, (_, time) => `"time":${time - 3600e3}`))"""
    lab.page.goto(f"{lab.server.url}api/status?token={lab.server.token}")
    lab.page.evaluate(age)
    lab.open(f"{run.folder.name}/train.ipynb")
    lab.wait_for_plot()

    expect(lab.dashboard.locator("[data-axis=samples]")).to_have_attribute("aria-pressed", "true")
    expect(lab.dashboard.get_by_role("button", name="log y")).to_have_attribute("aria-pressed", "true")
    expect(lab.dashboard.locator(".lit-amount")).to_have_text("0.30")
    expect(lab.dashboard.locator(".lit-charts-first .lit-legend-item").nth(1)).to_have_attribute(
        "aria-pressed", "false"
    )
    expect(lab.dashboard.locator('[data-family="grad_norm"] .lit-chart-area')).to_be_hidden()
    line = lab.dashboard.locator(".lit-away-words")
    expect(line).to_have_text(re.compile(r"While you were away \(1\sh\s0\d\sm\): 3 epochs, 1 checkpoint"))
    lab.picture("dashboard-away")
    line.click()
    expect(line).to_be_hidden()
    expect(lab.dashboard.locator(".lit-events .lit-mod-unseen")).to_have_count(1)
    assert lab.errors == []


@pytest.mark.parametrize("axis", ["epoch", "time", "active", "samples", "step"])
def test_every_axis_shows_curve_branch_and_marks(lab, axis):
    lab.dashboard.locator(f"[data-axis={axis}]").click()
    chart = lab.dashboard.locator(".lit-charts-first .lit-chart")
    wait_for(lambda: len(chart.locator(".tracem0 .js-line").get_attribute("d") or "") > 1_000, "the curve", 15)
    wait_for(
        lambda: len(chart.locator("[class*='traceb0-'] .js-line").get_attribute("d") or "") > 500, "the branch", 15
    )
    for kind in ("best", "act", "warning"):
        expect(chart.locator(f".lit-mark.lit-mod-{kind}")).to_have_count(1)
    if axis == "step":
        expect(chart.locator(".lit-mark.lit-mod-rate")).to_have_count(1)
        expect(chart.locator(".lit-mark.lit-mod-abandoned").first).to_be_attached()
    ticks = chart.locator(".lit-tick").all_inner_texts()
    assert len(ticks) > 6, ticks


@pytest.mark.parametrize(("width", "zoom"), [(360, 1.0), (1280, 2.0)])
def test_narrow_and_zoomed_pages_need_no_scrolling_sideways(open_lab, run, width, zoom):
    lab = open_lab(f"{run.folder.name}/train.ipynb", size=(int(width / zoom), int(900 / zoom)))
    lab.command("application:toggle-left-area") if width <= 400 or zoom > 1 else None
    lab.page.wait_for_timeout(1_000)
    lab.wait_for_plot()
    lab.dashboard.evaluate("node => node.scrollIntoView({block: 'start'})")
    wide = lab.dashboard.evaluate(
        """node => [...node.querySelectorAll('*')].filter(each => {
          const scrolled = each.closest('.lit-scroll, .lit-hidden, svg, .lit-chart-plot, summary, [hidden]');
          return !scrolled && each.getBoundingClientRect().right > node.getBoundingClientRect().right + 1;
        }).map(each => each.outerHTML.slice(0, 120))"""
    )
    assert wide == []
    assert lab.dashboard.evaluate("node => node.scrollWidth - node.clientWidth") <= 1
    for act in ("pause", "stop", "save", "lr"):
        expect(lab.dashboard.locator(f"[data-act={act}]")).to_be_visible()
    lab.act("lr")
    expect(lab.dashboard.locator(".lit-field")).to_be_in_viewport()
    lab.page.keyboard.press("Escape")
    lab.picture("dashboard-360px" if zoom == 1 else "dashboard-zoom-200")


@pytest.mark.parametrize("theme", THEMES)
def test_the_theme_is_followed_at_once(open_lab, run, theme):
    """Light, dark and high contrast; the documentation's pictures are these."""
    lab = open_lab(f"{run.folder.name}/train.ipynb", size=(1280, 1000))
    lab.command("application:toggle-left-area")
    lab.wait_for_plot()
    lab.set_theme(theme.title())
    wanted = {"light": ("light", None), "dark": ("dark", None), "dark high contrast": ("dark", "more")}[theme]
    wait_for(lambda: lab.dashboard.get_attribute("data-theme") == wanted[0], f"{theme} is followed", 3)
    assert lab.dashboard.get_attribute("data-contrast") == wanted[1]
    colours = lab.line_colours()
    assert colours
    line = lab.dashboard.locator(".tracem0 .js-line").first
    width = 1.6 if wanted[1] else 1.0  # a dense curve's; contrast makes it bolder
    wait_for(
        lambda: float(line.evaluate("path => parseFloat(getComputedStyle(path).strokeWidth)")) == width, "width", 10
    )
    lab.dashboard.evaluate("node => node.scrollIntoView({block: 'start'})")
    area = lab.dashboard.locator(".lit-charts-first .lit-chart-area")
    box = area.bounding_box()
    lab.page.mouse.move(box["x"] + box["width"] * 0.62, box["y"] + box["height"] * 0.5)
    lab.picture(f"dashboard-{theme.replace(' ', '-')}")
