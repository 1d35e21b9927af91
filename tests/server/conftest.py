"""A real Jupyter server with the extension, and runs under its root; needs the plugin that each module here names."""

from __future__ import annotations

import contextlib
import json

import pytest
from jupyter_client.provisioning import KernelProvisionerFactory

from lit_studio.base.events import MetricsLogged, Points, Progressed, RunEnded, RunStarted
from lit_studio.base.runs import RunDirectory, RunRecorder
from lit_studio.kernels.testing import end_kernels

NOW = 1.7e9


@pytest.fixture(autouse=True)
def no_kernel_is_left(tmp_path):
    """Kernels outlive servers, but not tests. The factory of provisioners remembers the server of the test before."""
    KernelProvisionerFactory.clear_instance()
    yield
    end_kernels(tmp_path)


@pytest.fixture
def jp_server_config():
    return {
        "ServerApp": {"jpserver_extensions": {"lit_studio": True}},
        "LitStudioApp": {"persistent_kernels": True},
    }


@pytest.fixture
def request_raw(jp_serverapp, http_server_client, jp_auth_header):
    """``await request_raw(path)``: the response to exactly this path, whatever its status; logged in by default."""

    async def request_raw(path: str, **options):
        return await http_server_client.fetch(path, **{"headers": jp_auth_header, "raise_error": False, **options})

    return request_raw


@pytest.fixture
def api(jp_serverapp):
    """The path below which the extension answers."""
    return f"{jp_serverapp.base_url}lit-studio/api/"


@pytest.fixture
def fetch(request_raw, api):
    """``await fetch("runs/…")``: status and body (decoded where it is JSON), whatever the status is."""

    async def fetch(path: str, **options):
        response = await request_raw(api + path, **options)
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        return response.code, json.loads(response.body) if is_json else response.body

    return fetch


@pytest.fixture
def root(jp_root_dir):
    """The server's root directory."""
    return jp_root_dir


@pytest.fixture
def write_run():
    """Writes a run of some steps; it goes on running unless ``end`` says how it ended."""
    recorders = []

    def write(folder, end: str | None = None, steps: int = 100) -> RunDirectory:
        run = RunDirectory.create(folder, {"torch": "2.13.0"})
        recorder = RunRecorder(run)
        recorders.append(recorder)
        recorder.observe(RunStarted(NOW, "train", 2, -1))
        values = [1 / (1 + step) for step in range(steps)]
        recorder.observe(MetricsLogged(NOW + 1, 0, (Points("loss", range(steps), values, prog_bar=True),)))
        recorder.observe(Progressed(NOW + 1, "train", steps, 0, steps, 200, planned_steps=400, active=1.0))
        if end:
            recorder.observe(RunEnded(NOW + 2, end, "train", steps, 0))
        return run

    yield write
    for recorder in recorders:
        with contextlib.suppress(OSError):
            recorder.close()
