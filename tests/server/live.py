"""A Jupyter server as a process of its own, which can be killed and started again over the same folders.

It must not know what a test checks.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient

from lit_studio.kernels.places import KernelPlace
from lit_studio.kernels.state import Execution, KernelState, read_execution, read_spec, read_state

TOKEN = "secret"
START_WITHIN = 60.0


def wait_for(what: Callable[[], Any], why: str, seconds: float = 20.0) -> Any:
    """The first true value of ``what()``."""
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for: {why}"
        time.sleep(0.02)
    return value


class LiveServer:
    """A server on a free port.

    Args:
        home: where its state lies; servers that share it share kernels.
        root: the folder it serves.
        options: of the command line.
    """

    def __init__(self, home: Path, root: Path, *options: str):
        self.home, self.root, self.options = home, root, options
        root.mkdir(parents=True, exist_ok=True)
        self.starts = 0
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "LIT_STUDIO_HOME")
        short = dict(zip(places, ("c", "d", "r", "i", "h"), strict=True))
        plain = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTER")}
        return {**plain, **{key: str(self.home / name) for key, name in short.items()}, "JUPYTER_NO_CONFIG": "1"}

    def start(self) -> None:
        """Start it (again)."""
        self.starts += 1
        self.log_file = self.home / f"server-{self.root.name}-{self.starts}.log"
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyter_server", "--port=0", "--ServerApp.ip=127.0.0.1", "--no-browser"),
                    *("--allow-root", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={self.root}"),
                    *("--ServerApp.jpserver_extensions=lit_studio=True", "--LitStudioApp.persistent_kernels=True"),
                    *self.options,
                ],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.home,
            )
        self.url = wait_for(self._address, f"the server; its log is {self.log_file}", START_WITHIN)

    def _address(self) -> str:
        assert self.process.poll() is None, self.log()
        with contextlib.suppress(OSError, ValueError):
            url = json.loads((self.home / "r" / f"jpserver-{self.process.pid}.json").read_text())["url"]
            urllib.request.urlopen(f"{url}api/status?token={TOKEN}", timeout=5).close()
            return str(url)
        return ""

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """SIGTERM, and wait."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def restart(self) -> None:
        """SIGKILL, and start again."""
        self.kill()
        self.start()

    def ask(self, path: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
        """Status and JSON answer of a REST call; ``path`` is relative to the server's address."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                content, status = response.read(), response.status
        except urllib.error.HTTPError as error:
            with error:
                content, status = error.read(), error.code
        return status, json.loads(content) if content else None

    def api(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """The answer of a call that succeeds."""
        status, answer = self.ask(path, method, body)
        assert status < 400, (status, answer)
        return answer

    def start_kernel(self, name: str = "python3") -> Kernel:
        """A kernel without a notebook."""
        return Kernel(self, self.api("api/kernels", "POST", {"name": name})["id"])

    def start_session(self, path: str) -> tuple[str, Kernel]:
        """A notebook's session and kernel."""
        body = {"path": path, "type": "notebook", "name": Path(path).name, "kernel": {"name": "python3"}}
        session = self.api("api/sessions", "POST", body)
        return session["id"], Kernel(self, session["kernel"]["id"])


class Kernel:
    """A kernel as a client sees it that isn't a page: by its connection file."""

    def __init__(self, server: LiveServer, kernel_id: str):
        self.server, self.id = server, kernel_id
        self.place = KernelPlace(server.home / "r" / "lit-studio" / "kernels" / kernel_id)
        self._client: BlockingKernelClient | None = None

    @property
    def state(self) -> KernelState:
        state = read_state(self.place.state)
        assert state is not None
        return state

    @property
    def execution(self) -> Execution:
        return read_execution(self.place.execution)

    @property
    def model(self) -> dict[str, Any]:
        return self.server.api(f"api/kernels/{self.id}")

    @property
    def listed(self) -> dict[str, Any]:
        [found] = [one for one in self.server.api("lit-studio/api/kernels") if one["id"] == self.id]
        return found

    @property
    def client(self) -> BlockingKernelClient:
        if self._client is None:
            spec = read_spec(self.place.spec)
            assert spec is not None
            self._client = BlockingKernelClient(connection_file=spec.connection_file)
            self._client.load_connection_file()
            self._client.start_channels()
            wait_for(self._answers, "the kernel answers", 60)
        return self._client

    def _answers(self) -> bool:
        assert self._client is not None
        try:
            self._client.wait_for_ready(timeout=60)
        except (
            RuntimeError
        ):  # a client without a manager takes a heart that hasn't beaten yet for one that stands still
            return False
        return True

    def run(self, code: str, timeout: float = 30.0) -> str:
        """Run ``code`` and return what it printed.

        Raises:
            RuntimeError: the code did.
        """
        texts: list[str] = []

        def note(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                texts.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, output_hook=note, timeout=timeout)
        if reply["content"]["status"] != "ok":
            raise RuntimeError(reply["content"].get("ename", reply["content"]["status"]))
        return "".join(texts)

    def begin(self, code: str) -> str:
        """Have ``code`` run without waiting for it; its message id."""
        return self.client.execute(code)

    def wait_until(self, state: str, seconds: float = 20.0) -> None:
        wait_for(lambda: self.execution.state == state, f"the kernel is {state}", seconds)

    def kill_keeper(self) -> None:
        os.kill(self.state.keeper_pid, signal.SIGKILL)

    def close(self) -> None:
        if self._client is not None:
            self._client.stop_channels()
            self._client = None
