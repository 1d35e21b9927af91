"""Kernels outlive the server, their keeper, and both; the next server has them as they were."""

from __future__ import annotations

import time

import pytest

from lit_studio.kernels.testing import end_kernels
from tests.server.live import LiveServer


@pytest.fixture
def serve(tmp_path_factory):
    """Starts servers; they and their kernels are gone after the test."""
    home, servers = tmp_path_factory.mktemp("k"), []

    def serve(root: str = "a", *options: str) -> LiveServer:
        server = LiveServer(home, home / root, *options)
        servers.append(server)
        return server

    yield serve
    for server in servers:
        if server.process.poll() is None:
            server.kill()
    end_kernels(home)


@pytest.fixture
def server(serve):
    return serve()


def until(flag) -> str:
    """Code that runs until there is a file."""
    return f"import os, time\nwhile not os.path.exists({str(flag)!r}): print('still'); time.sleep(0.05)\n"


def test_a_killed_server_loses_nothing(server):
    session, kernel = server.start_session("work.ipynb")
    assert kernel.run("a = 41; print(a)") == "41\n"
    before = kernel.state
    kernel.begin(until(server.home / "go") + "a += 1")
    kernel.wait_until("busy")
    server.kill()
    time.sleep(0.3)
    server.start()
    assert [one["id"] for one in server.api("api/sessions")] == [session]
    assert server.api("api/sessions")[0]["kernel"]["id"] == kernel.id
    assert kernel.model["execution_state"] == "busy"
    assert kernel.listed["adopted"]
    assert kernel.listed["execution"]["count"] == 2
    (server.home / "go").touch()
    kernel.wait_until("idle")
    assert kernel.run("print(a)") == "42\n"
    assert kernel.model["execution_state"] == "idle"
    assert kernel.state == before, "neither the kernel nor its keeper noticed"
    kernel.close()
