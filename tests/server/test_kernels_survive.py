"""Kernels outlive the server, their keeper, and both; the next server has them as they were."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time

import pytest
from jupyter_client.session import Session
from tornado.websocket import websocket_connect

from lit_studio.kernels.journal import read
from lit_studio.kernels.testing import end_kernels
from lit_studio.kernels.usage import read_usage
from tests.server.live import TOKEN, LiveServer, wait_for


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


def test_a_server_that_ends_in_order_leaves_its_kernels(server):
    session, kernel = server.start_session("work.ipynb")
    kernel.run("a = 1")
    server.end()
    assert "Left 1 kernels running" in server.log()
    server.start()
    assert [one["id"] for one in server.api("api/sessions")] == [session]
    assert kernel.run("print(a)") == "1\n"
    server.api(f"api/sessions/{session}", "DELETE")
    wait_for(lambda: kernel.state.status == "exited", "the kernel ends where a person ends it")
    kernel.close()


def test_a_killed_keeper_is_replaced_and_with_it_the_server(server):
    kernel = server.start_kernel()
    kernel.run("a = 1")
    first = kernel.state
    kernel.kill_keeper()
    assert kernel.run("print(a)") == "1\n"
    wait_for(lambda: kernel.state.is_kept and kernel.state.keeper_pid != first.keeper_pid, "a new keeper")
    assert kernel.state.pid == first.pid
    second = kernel.state
    server.kill()
    kernel.kill_keeper()
    assert kernel.run("a += 1; print(a)") == "2\n"
    server.start()
    wait_for(lambda: kernel.state.is_kept and kernel.state.keeper_pid != second.keeper_pid, "another one")
    assert kernel.run("print(a)") == "2\n"
    server.api(f"api/kernels/{kernel.id}", "DELETE")
    wait_for(lambda: kernel.state.status == "exited", "it knows the end of a kernel that isn't its child")
    assert kernel.state.exit_code is None
    kernel.close()


def test_an_adopted_kernel_does_as_it_is_told(server):
    kernel = server.start_kernel()
    server.restart()
    path = f"api/kernels/{kernel.id}"
    kernel.begin("a = 1\nimport time\ntime.sleep(600)")
    kernel.wait_until("busy")
    server.api(f"{path}/interrupt", "POST")
    kernel.wait_until("idle")
    assert kernel.run("print(a)") == "1\n"
    pid = kernel.state.pid
    server.api(f"{path}/restart", "POST")
    assert kernel.state.pid != pid
    assert kernel.run("print('a' in globals())") == "False\n"
    kernel.close()
    os.kill(kernel.state.pid, signal.SIGKILL)
    dead = kernel.state.pid
    wait_for(lambda: kernel.state.pid != dead and kernel.state.is_alive, "it is started again by itself")
    assert kernel.run("print(1)") == "1\n"
    kernel.close()
    server.api(path, "DELETE")
    assert kernel.state.exit_code == 0
    assert server.ask(path)[0] == 404
    assert not list((server.home / "r").glob("kernel-*")), "the connection file is gone"
    assert not list((server.home / "r/lit-studio/s").iterdir()), "and so are the sockets"


def test_how_a_kernel_ended_while_no_server_was_there_is_known(server, monkeypatch):
    kernel = server.start_kernel()
    server.kill()
    kernel.begin("import os; os._exit(7)")
    wait_for(lambda: kernel.state.status == "exited", "its end is written down")
    assert kernel.state.exit_code == 7
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(server.home / "d"))
    [record] = read_usage()
    assert (record["kernel_id"], record["exit_code"]) == (kernel.id, 7)
    assert record["ended"] > record["started"]
    assert record["peak_memory"] > 20 << 20
    kernel.close()
    server.start()
    assert server.api("api/kernels") == []
    assert not list((server.home / "r").glob("kernel-*"))


def test_kernels_belong_to_their_root_and_to_the_living(serve):
    one = serve("a")
    kernel = one.start_kernel()
    other, second = serve("b"), serve("a")
    assert other.api("api/kernels") == second.api("api/kernels") == []
    one.kill()
    wait_for(lambda: [each["id"] for each in second.api("api/kernels")] == [kernel.id], "the one beside it takes it")
    assert other.api("api/kernels") == []
    other.restart()
    assert other.api("api/kernels") == []
    assert kernel.run("print(1)") == "1\n"
    kernel.close()


def test_a_page_is_connected_to_a_busy_kernel_at_once(server):
    """A busy kernel is taken over without a question to it, and a page is connected at once."""
    kernel = server.start_kernel()
    kernel.run("1")
    server.api("api/kernels")
    asyncio.run(open_page(server, kernel))  # its kernel_info is kept from now on
    kernel.begin(until(server.home / "go"))
    kernel.wait_until("busy")
    server.restart()
    assert asyncio.run(open_page(server, kernel)) < 0.2
    (server.home / "go").touch()
    kernel.close()


async def open_page(server, kernel) -> float:
    """Open a websocket as a page does, and return how many seconds that took."""
    url = server.url.replace("http", "ws") + f"api/kernels/{kernel.id}/channels?session_id=page&token={TOKEN}"
    began = time.perf_counter()
    page = await websocket_connect(url)
    taken = time.perf_counter() - began
    page.close()
    while await page.read_message() is not None:
        pass
    return taken


def test_a_kernel_that_cannot_start_says_why(server):
    spec = server.home / "d" / "kernels" / "broken"
    spec.mkdir(parents=True)
    booted = [sys.executable, "-Xfrozen_modules=off", "-S", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    for name, command in (("broken", ["/no/such/python"]), ("bare", booted)):
        folder = spec.with_name(name)
        folder.mkdir(exist_ok=True)
        (folder / "kernel.json").write_text(json.dumps({"argv": command, "display_name": name, "language": "python"}))
    status, answer = server.ask("api/kernels", "POST", {"name": "broken"})
    assert status == 500
    assert "/no/such/python" in answer["message"]
    status, answer = server.ask("api/kernels", "POST", {"name": "bare"})
    assert status == 500
    assert "No module named 'ipykernel'" in answer["message"]
    assert server.api("api/kernels") == []


def test_a_full_disk_costs_the_journal_and_not_the_cell(server):
    kernel = server.start_kernel()
    limit = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({}, r.getrlimit(r.RLIMIT_FSIZE)[1]))"
    kernel.run(limit.format(20_000))
    text = kernel.run("for i in range(300): print(f'<{i}>', 'x' * 500, flush=True)")
    assert [f"<{i}>" in text for i in range(300)] == [True] * 300, "the page misses nothing"
    kernel.run(limit.format("r.RLIM_INFINITY"))
    assert kernel.run("print('after')") == "after\n"
    records = list(read(kernel.place.journal))
    numbers = [record.number for record in records]
    assert numbers[-1] > len(numbers), "what is missing shows as a gap in the numbers"
    assert b"after" in b"".join(records[-3].parts + records[-2].parts + records[-1].parts)
    assert kernel.execution.state == "idle"
    kernel.close()


def test_an_idle_kernel_is_ended_while_no_server_runs(serve):
    server = serve("a", "--MappingKernelManager.cull_idle_timeout=4")
    idle, busy = server.start_kernel(), server.start_kernel()
    busy.begin(until(server.home / "go"))
    busy.wait_until("busy")
    server.kill()
    wait_for(lambda: idle.state.status == "exited", "the idle one is ended", 40)
    assert idle.state.culled
    assert busy.state.is_alive
    server.start()
    assert [one["id"] for one in server.api("api/kernels")] == [busy.id]
    busy.close()


def test_a_queue_outlives_the_server(server):
    kernel = server.start_kernel()
    asyncio.run(send_three(server, kernel, until(server.home / "go")))
    kernel.wait_until("busy")
    server.restart()
    listed = kernel.listed
    assert listed["queued"] == 2
    assert server.ask(f"lit-studio/api/kernels/{kernel.id}/queue/{listed['queue'][0]}", "DELETE")[0] == 204
    (server.home / "go").touch()
    wait_for(lambda: kernel.listed["queued"] == 0, "the rest has run")
    assert kernel.run("print(a)") == "3\n"
    kernel.close()


async def send_three(server, kernel, first: str) -> None:
    """Send three cells, as a page does that is closed before the first has run."""
    url = server.url.replace("http", "ws") + f"api/kernels/{kernel.id}/channels?session_id=page&token={TOKEN}"
    page, session = await websocket_connect(url), Session()
    for code in (first, "a = 2", "a = globals().get('a', 1) + 2"):
        message = session.msg("execute_request", {"code": code, "silent": False, "store_history": True})
        page.write_message(json.dumps({**message, "channel": "shell"}, default=str))
    while "execute_input" not in str(await page.read_message()):
        pass
    page.close()
    while await page.read_message() is not None:
        pass
