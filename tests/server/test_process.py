"""The server as a process of its own: what it loads, and what it says when its port is taken."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from lit_studio.base.runs import RunDirectory

SERVE = """
import json, sys
from jupyter_server.serverapp import ServerApp
from tornado.httpclient import AsyncHTTPClient

app = ServerApp.instance()
app.initialize(["--ServerApp.root_dir=" + sys.argv[1], "--ServerApp.ip=127.0.0.1", "--port=0", "--no-browser",
                "--IdentityProvider.token=secret", "--allow-root",
                "--ServerApp.jpserver_extensions=lit_studio=True"])

async def ask():
    codes = {}
    try:
        for path in ("info", "studio", f"runs/{sys.argv[2]}", f"runs/{sys.argv[2]}/packet"):
            response = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{app.port}/lit-studio/api/{path}",
                headers={"Authorization": "token secret"}, raise_error=False)
            codes[path.rpartition("/")[2]] = response.code
        heavy = [name for name in ("torch", "IPython", "ipykernel", "matplotlib", "pandas") if name in sys.modules]
        print(json.dumps({"codes": list(codes.values()), "heavy": heavy}))
    finally:
        app.stop()

app.io_loop.add_callback(ask)
app.start()
"""


@pytest.fixture
def environment(tmp_path):
    """Nothing of the user's own configuration."""
    places = {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")}
    return {**os.environ, **places, "JUPYTER_NO_CONFIG": "1"}


def test_the_server_never_loads_torch(tmp_path, environment):
    run = RunDirectory.create(tmp_path / "root" / "run")
    command = [sys.executable, "-c", SERVE, tmp_path / "root", run.info.id]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert '{"codes": [200, 200, 200, 200], "heavy": []}' in result.stdout, result.stdout + result.stderr


def test_a_port_in_use_is_said(tmp_path, environment):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [
            sys.executable, "-m", "jupyter_server", f"--port={port}", "--ServerApp.port_retries=0",
            "--ServerApp.ip=127.0.0.1", "--no-browser", "--allow-root",
            "--ServerApp.jpserver_extensions=lit_studio=True", f"--ServerApp.root_dir={tmp_path}",
        ]  # fmt: skip
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert result.returncode == 1
    assert f"port {port} is not available" in result.stderr
    assert "Traceback" not in result.stderr
