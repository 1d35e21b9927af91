"""A real JupyterLab server in a folder of its own, and a page on it, with the few acts that the tests repeat.

It must not know what a test checks.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Route, expect

from lit_studio.kernels.testing import end_kernels

START_WITHIN = 90.0
# Generous, since other work may share the machine: a wait ends as soon as what it waits for is there.
PATIENCE = 30.0
expect.set_options(timeout=PATIENCE * 1000)
# Run All before the session has a kernel raises the "Select Kernel" dialog: wait for the kernel itself.
KERNEL_READY = """() => {
  const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
  return context?.isReady && context.session?.kernel?.connectionStatus === "connected"
    && context.session.kernel.status === "idle";
}"""
EXECUTION = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .filter(cell => cell.model.type === "code")
  .map(cell => [cell.model.executionCount, cell.model.executionState])"""

RUN_TYPE = "application/vnd.lit-studio.run.v1+json"
# The view draws with plotly.js, whose chart elements carry their data.
DASHBOARD = ".lit-dashboard"
PLOTS = f"[...document.querySelectorAll('{DASHBOARD} .js-plotly-plot')].filter(plot => plot.data)"
LENGTHS = "plot.data.reduce((m, trace) => m + (trace.x?.length ?? 0), 0)"


class Server:
    """A JupyterLab server on a free port of 127.0.0.1, with its own configuration, state and notebooks.

    Args:
        folder: where all of that lies.
        options: more of its command line.

    Attributes:
        root: the folder it serves.
        home: Lit Studio's state.
        url: with a trailing slash.
        token: lets one in.
    """

    def __init__(self, folder: Path, *options: str):
        self.folder, self.root, self.home = folder, folder / "notebooks", folder / "home"
        self.token = secrets.token_hex(16)
        self.root.mkdir()
        self._log = (folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
                *("--ServerApp.port=0", f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.root}"),
                *("--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None"),
                *("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", *options),
            ],
            env=self._environment(),
            cwd=folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self.url = self._wait()
        except BaseException:
            self.stop()
            raise

    def _environment(self) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "LIT_STUDIO_"))}
        for variable, name in {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
            "LIT_STUDIO_HOME": "home",
        }.items():
            env[variable] = str(self.folder / name)
            (self.folder / name).mkdir(mode=0o700)
        # ``news_url=None`` alone doesn't keep the question about news away.
        notification = self.folder / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
        notification.parent.mkdir(parents=True)
        notification.write_text('{"fetchNews": "false", "checkForUpdates": false}')
        return {**env, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}

    def _wait(self) -> str:
        info = self.folder / "runtime" / f"jpserver-{self._process.pid}.json"
        deadline = time.monotonic() + START_WITHIN
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError, ValueError):  # not there yet, or half written
                url = json.loads(info.read_text())["url"]
                urllib.request.urlopen(f"{url}api/status?token={self.token}", timeout=5).close()
                return str(url)
            time.sleep(0.05)
        raise AssertionError(f"JupyterLab did not start:\n{self.log()}")

    def log(self) -> str:
        """What the server has said so far."""
        return (self.folder / "server.log").read_text(errors="replace")

    def api(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """The JSON answer of a REST call; ``path`` is relative to the server's address."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            content = response.read()
        return json.loads(content) if content else None

    def shut_down_kernels(self) -> None:
        """End all sessions, so that one test's kernel doesn't take the next one's processor."""
        for session in self.api("api/sessions"):
            with contextlib.suppress(OSError):
                self.api(f"api/sessions/{session['id']}", "DELETE")

    def stop(self) -> None:
        """End the server and its kernels."""
        if hasattr(self, "url"):
            with contextlib.suppress(OSError):
                self.shut_down_kernels()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        end_kernels(self.folder)  # what the server left running
        self._log.close()

    def runs(self) -> list[Path]:
        """The records (``studio`` folders) of all runs below the root, oldest first."""
        found = self.root.rglob("lightning_logs/version_*/studio/run.json")
        return [path.parent for path in sorted(found, key=lambda path: json.loads(path.read_text())["created"])]


def status(record: Path) -> dict[str, Any]:
    """The run's ``status.json``."""
    return json.loads((record / "status.json").read_text())


def events(record: Path) -> list[dict[str, Any]]:
    """The run's events, oldest first."""
    from lit_studio.base.runs import RunDirectory
    from lit_studio.tracking import RunReader

    return RunReader(RunDirectory.open(record.parent)).events()[0]


def wait_for(what: Callable[[], Any], why: str, seconds: float = 60.0, every: float = 0.05) -> Any:
    """The first true value of ``what()``; errors of files that don't exist yet are waited out.

    Raises:
        AssertionError: it stayed false for ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, ValueError, IndexError):
            if value := what():
                return value
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for: {why}"
        time.sleep(every)


class Lab:
    """A browser page with JupyterLab in it.

    Attributes:
        page: Playwright's page.
        errors: what the page's console reported as an error, our code's and JupyterLab's.
        pictures: where screenshots go, None if nobody asked for them.
    """

    def __init__(self, browser: Browser, server: Server, theme: str = "light", size: tuple[int, int] = (1440, 900)):
        self.server = server
        self.errors: list[str] = []
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce")
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.theme = theme
        folder = os.environ.get("LIT_STUDIO_SCREENSHOTS")
        self.pictures = Path(folder) if folder else None

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def open(self, path: str = "") -> None:
        """Open JupyterLab in a fresh workspace, on the notebook at ``path`` if one is named."""
        where = f"lab/workspaces/{secrets.token_hex(4)}" + (f"/tree/{path}" if path else "")
        self.page.goto(f"{self.server.url}{where}?token={self.server.token}&reset", wait_until="domcontentloaded")
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell && document.body.dataset.jpThemeName", timeout=60_000
        )
        if path:
            self.page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=60_000)
        else:
            self.page.locator(".jp-Launcher").wait_for(timeout=60_000)
        self.set_theme(self.theme)

    def set_theme(self, theme: str) -> None:
        """Change to JupyterLab's ``light`` or ``dark`` theme."""
        name = f"JupyterLab {theme.title()}"
        if self.page.evaluate("() => document.body.dataset.jpThemeName") == name:
            return
        self.command("apputils:change-theme", theme=name)
        self.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)

    def command(self, command: str, **args: Any) -> None:
        """Execute a JupyterLab command without waiting for its result."""
        self.page.evaluate("([id, args]) => { window.jupyterapp.commands.execute(id, args); }", [command, args])

    def wait_for_kernel(self) -> None:
        """Until the notebook in front has a kernel that is connected and idle."""
        self.page.wait_for_function(KERNEL_READY, timeout=60_000)

    def run_all(self) -> None:
        """The menu's Run All Cells, once the kernel is there."""
        self.wait_for_kernel()
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()

    def wait_until_idle(self, seconds: float = 120.0) -> None:
        """Until every code cell has run and the kernel is idle."""
        every = f'({EXECUTION})().every(([count, state]) => count !== null && state === "idle")'
        self.page.wait_for_function(f"() => ({KERNEL_READY})() && {every}", timeout=seconds * 1000)

    def cell(self, index: int) -> Locator:
        """The notebook's cell at ``index``; negative counts from the end."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-Cell").nth(index)

    def output_types(self, index: int) -> list[str]:
        """The types of the outputs of the cell at ``index``: ``stream``, ``display_data``, ``error`` and so on."""
        outputs = f"window.jupyterapp.shell.currentWidget.content.widgets[{index}].model.outputs"
        return list(self.page.evaluate(f"() => {outputs}.toJSON().map(output => output.output_type)"))

    def last_code_cell(self) -> Locator:
        """The notebook's last cell of code."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-CodeCell").last

    def save(self) -> None:
        """Save the notebook in front and wait until it is written."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def reload(self) -> None:
        """Load the page anew, as F5 does, and wait until its notebook is drawn."""
        self.page.reload(wait_until="domcontentloaded")
        self.page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=60_000)

    def wait_until_saved(self, seconds: float = 20.0) -> None:
        """Until the notebook in front has no unsaved change."""
        self.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.context.model.dirty === false", timeout=seconds * 1000
        )

    def wait_until_run_is_saved(self, path: str) -> None:
        """Until the notebook's file at ``path`` holds the output of a run."""
        file = self.server.root / path
        wait_for(lambda: RUN_TYPE in file.read_text(), "the output of the run is in the file", PATIENCE)

    def set_setting(self, plugin: str, name: str, value: Any) -> None:
        """Change a setting as the settings editor does."""
        self.server.api(f"lab/api/settings/{plugin}", "PUT", {"raw": json.dumps({name: value})})
        self.page.reload(wait_until="domcontentloaded")
        self.page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for(timeout=60_000)

    @property
    def dashboard(self) -> Locator:
        """The run's view in the notebook; the last one if there are several."""
        return self.page.locator(DASHBOARD).last

    def act(self, name: str) -> None:
        """Click the dashboard's button ``pause``, ``resume``, ``stop``, ``save`` or ``lr``."""
        self.dashboard.locator(f"[data-act='{name}']").click()

    def wait_for_plot(self) -> None:
        """Bring the run's view into sight (Run All leaves the last cell in front) and wait for its points."""
        self.dashboard.wait_for(state="attached", timeout=90_000)
        self.dashboard.scroll_into_view_if_needed()
        wait_for(lambda: self.points() > 0, "a plot with points", 60)

    def points(self) -> int:
        """How many points all curves of the dashboard hold together."""
        return int(self.page.evaluate(f"() => {PLOTS}.reduce((n, plot) => n + {LENGTHS}, 0)"))

    def first_x(self) -> float:
        """The least x of any curve."""
        return float(
            self.page.evaluate(f"() => Math.min(...{PLOTS}.flatMap(plot => plot.data.map(d => d.x?.[0] ?? 1/0)))")
        )

    def line_colours(self) -> list[str]:
        """The colour of the first curve of each chart that is in view; the others are drawn once they are."""
        seen = "(box => box.top < innerHeight && box.bottom > 0)(plot.getBoundingClientRect())"
        return list(self.page.evaluate(f"() => {PLOTS}.filter(plot => {seen}).map(plot => plot.data[0].line.color)"))

    def marks(self) -> int:
        """How many events are marked on the first chart."""
        return self.dashboard.locator(".lit-overlay").first.locator(".lit-mark").count()

    def show_panel(self) -> Locator:
        """Bring the studio's panel into view."""
        panel = self.page.locator("#lit-studio-panel")
        if not panel.is_visible():
            self.command("lit-studio:toggle-panel")
        expect(panel).to_be_visible()
        return panel

    def picture(self, name: str) -> None:
        """Write a screenshot ``name.png`` into ``$LIT_STUDIO_SCREENSHOTS``, if that is set."""
        if self.pictures:
            self.page.wait_for_timeout(1500)  # charts are drawn one at a time, a new theme too
            self.pictures.mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(self.pictures / f"{name}.png"))

    @contextlib.contextmanager
    def cut_off(self, pattern: str) -> Iterator[None]:
        """Let requests to ``pattern`` fail as they do when the server is gone."""

        def drop(route: Route) -> None:
            route.abort("connectionrefused")

        self.page.route(pattern, drop)
        try:
            yield
        finally:
            self.page.unroute(pattern, drop)

    def close(self) -> None:
        """Close the page and everything that belongs to it."""
        self.page.context.close()
