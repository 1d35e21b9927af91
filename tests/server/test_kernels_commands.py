"""``lit-studio kernels`` on kernels of a server that runs, and of one that is dead."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lit_studio.kernels.testing import end_kernels
from tests.server.live import LiveServer, wait_for

CLI = (sys.executable, "-c", "from lit_studio.cli import main; main()")


@pytest.fixture
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("k")
    server = LiveServer(home, home / "a")
    yield server
    server.kill()
    end_kernels(home)


@pytest.fixture
def call(server):
    """Call the command line: exit status, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        command = [*CLI, "kernels", *arguments]
        done = subprocess.run(command, env=server.environment, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    return call


def test_a_kernel_is_listed_followed_and_ended(server, call):
    assert call("list")[:2] == (0, "")
    _, kernel = server.start_session("train.ipynb")
    kernel.run("print('first')")
    status, out, _ = call("list")
    assert (status, kernel.id[:8] in out, "train.ipynb" in out) == (0, True, True)
    [told] = json.loads(call("list", "--json")[1])["kernels"]
    assert (told["id"], told["state"], told["server"]) == (kernel.id, "idle", server.process.pid)

    server.kill()
    [told] = json.loads(call("list", "--json")[1])["kernels"]
    assert (told["id"], told["server"]) == (kernel.id, None)
    assert call("logs", kernel.id[:8])[1] == "first\n"
    command = [*CLI, "kernels", "logs", "train", "-f"]
    with subprocess.Popen(command, env=server.environment, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout.readline() == "first\n"
        kernel.begin("import sys, time\nprint('second'); time.sleep(0.5); print('third', file=sys.stderr)\n6 * 7")
        kernel.wait_until("busy")
        kernel.wait_until("idle")
        assert [follower.stdout.readline() for _ in range(3)] == ["second\n", "third\n", "42\n"]
        kernel.close()
        assert call("stop", "train")[0] == 0
        assert follower.wait(20) == 0, "it ends with its kernel"
    assert not kernel.state.is_alive
    wait_for(lambda: kernel.state.status == "exited", "its end is written down")
    pieces = [json.loads(line) for line in call("logs", kernel.id, "--json")[1].splitlines()]
    assert [(piece["kind"], piece["text"]) for piece in pieces][-1] == ("execute_result", "42\n")
    [told] = json.loads(call("list", "--all", "--json")[1])["kernels"]
    assert (told["state"], told["exit_code"]) == ("ended", 0)
    server.start()


def test_a_server_does_not_start_a_stopped_kernel_again(server, call):
    kernel = server.start_kernel()
    status, out, _ = call("stop", kernel.id, "--now", "--json")
    assert (status, json.loads(out)["state"]) == (0, "ended")
    wait_for(lambda: server.api("api/kernels") == [], "the server has forgotten it")
    assert kernel.state.status == "exited"


def test_errors_have_their_status(server, call):
    for command in ("logs", "stop"):
        status, _, err = call(command, "nothing")
        assert (status, "No kernel has this id or notebook" in err) == (3, True)
    status, _, err = call("attach", "nothing")
    assert status in (1, 3)
    assert "lit-studio[console]" in err or "No kernel" in err
