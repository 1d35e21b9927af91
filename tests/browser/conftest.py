"""Fixtures of the browser tests: one browser and one JupyterLab server for all, a fresh page for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.lab import Lab, Server

playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "notebooks" / "guide"
RESULTS = ROOT / "test-results"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge")
MAC_PATHS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_browser() -> str:
    """The browser to test with; without one the tests fail under CI and are skipped with a message elsewhere."""
    if named := os.environ.get("LIT_STUDIO_BROWSER"):
        return named
    for name in NAMES:
        if path := shutil.which(name):
            return path
    for path in MAC_PATHS:
        if Path(path).exists():
            return path
    message = "No Chromium, Chrome or Edge found: install one or set LIT_STUDIO_BROWSER to it"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One real browser."""
    path = find_browser()
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One real JupyterLab server over a copy of the guide."""
    from tests.browser.lab import Server

    server = Server(tmp_path_factory.mktemp("server"))
    ignored = shutil.ignore_patterns("lightning_logs", ".ipynb_checkpoints")
    shutil.copytree(GUIDE, server.root / "guide", ignore=ignored)
    yield server
    server.stop()


@pytest.fixture
def open_lab(browser: Browser, server: Server, request: pytest.FixtureRequest) -> Iterator[Callable[..., Lab]]:
    """Opens pages; they are closed, and the kernels ended, after the test. A failed test leaves a screenshot."""
    from tests.browser.lab import Lab

    labs: list[Lab] = []

    def open_lab(path: str = "", **options: object) -> Lab:
        lab = Lab(browser, server, **options)
        labs.append(lab)
        lab.open(path)
        return lab

    yield open_lab
    for lab in labs:
        report = getattr(request.node, "outcome_of_call", None)
        if report is not None and report.failed:
            RESULTS.mkdir(exist_ok=True)
            lab.page.screenshot(path=str(RESULTS / f"{request.node.name}.png"))
            print(f"Screenshot in {RESULTS}; console errors: {lab.errors}")
        lab.close()
    server.shut_down_kernels()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """Let the fixtures know how the test went."""
    report = yield
    if report.when == "call":
        item.outcome_of_call = report
    return report
