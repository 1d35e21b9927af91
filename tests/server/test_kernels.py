"""Kernels of a server that has them outlive it: their queue, their end, their idleness, and when it refuses them."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import pytest
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from lit_studio.base.errors import InvalidStateError
from lit_studio.kernels.journal import MESSAGE, REQUEST, read
from lit_studio.kernels.places import KernelPlace
from lit_studio.kernels.state import read_execution, read_policy, read_spec, read_state

pytest_plugins = ["pytest_jupyter.jupyter_server"]


async def until(what, why: str, seconds: float = 20.0):
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, f"waited for: {why}"
        await asyncio.sleep(0.02)
    return value


class Page:
    """A websocket that speaks as JupyterLab does."""

    def __init__(self, socket, session):
        self.socket, self.session, self.seen = socket, session, []

    def send(self, kind: str, content: dict, channel: str = "shell", metadata=None) -> str:
        message = self.session.msg(kind, content, metadata=metadata)
        self.socket.write_message(serialize_msg_to_ws_v1(message, channel, self.session.pack), binary=True)
        return message["header"]["msg_id"]

    def execute(self, code: str, cell: str = "") -> str:
        content = {"code": code, "silent": False, "store_history": True, "stop_on_error": True, "allow_stdin": False}
        return self.send("execute_request", content, metadata={"cellId": cell})

    async def get(self, kind: str, parent: str = "", seconds: float = 20.0) -> tuple[str, dict]:
        """Channel and content of the next message of this kind."""
        while True:
            raw = await asyncio.wait_for(self.socket.read_message(), seconds)
            assert raw is not None, "closed"
            channel, parts = deserialize_msg_from_ws_v1(raw)
            header, asked, _, content = map(json.loads, parts[:4])
            self.seen.append((header["msg_type"], asked.get("msg_id"), content))
            if header["msg_type"] == kind and (not parent or asked.get("msg_id") == parent):
                return channel, content


@pytest.fixture
def start(jp_fetch, jp_serverapp):
    """Starts a kernel; answers with its id and place."""

    async def start(name: str = "python3") -> tuple[str, KernelPlace]:
        made = json.loads((await jp_fetch("api/kernels", method="POST", body=json.dumps({"name": name}))).body)
        return made["id"], KernelPlace.of(made["id"])

    return start


@pytest.fixture
def open_page(jp_serverapp, jp_auth_header):
    """Opens pages on kernels."""
    pages = []

    async def open_page(kernel_id: str) -> Page:
        session = Session()
        url = f"ws://127.0.0.1:{jp_serverapp.port}{jp_serverapp.base_url}api/kernels/{kernel_id}/channels"
        request = HTTPRequest(f"{url}?session_id={session.session}", headers=jp_auth_header)
        socket = await websocket_connect(request, subprotocols=["v1.kernel.websocket.jupyter.org"])
        pages.append(socket)
        return Page(socket, session)

    yield open_page
    for socket in pages:
        socket.close()


async def test_the_server_says_that_kernels_persist(fetch):
    assert (await fetch("info"))[1]["persistent_kernels"] == {"on": True, "reason": ""}
    assert await fetch("kernels") == (200, [])


async def test_a_queued_cell_is_cancelled_alone(start, open_page, fetch):
    kernel_id, place = await start()
    page = await open_page(kernel_id)
    running = page.execute("import time; time.sleep(60)", "c1")
    await page.get("execute_input", running)
    second, third = page.execute("b = 2", "c2"), page.execute("print('b' in globals())", "c3")
    await until(lambda: len(json.loads(place.waiting.read_text())) == 2 if place.waiting.exists() else 0, "two wait")
    _, [listed] = await fetch("kernels")
    assert (listed["queued"], listed["queue"]) == (2, [second, third])
    assert listed["execution"]["cell_id"] == "c1"
    queue = f"kernels/{kernel_id}/queue"
    code, answer = await fetch(f"{queue}/{running}", method="DELETE")
    assert (code, "runs already" in answer["message"]) == (409, True)
    assert (await fetch(f"{queue}/0123", method="DELETE"))[0] == 404
    assert (await fetch(f"{queue}/{second}", method="DELETE"))[0] == 204
    assert (await fetch(f"{queue}/{second}", method="DELETE"))[0] == 404
    page.send("interrupt_request", {}, "control")
    _, reply = await page.get("execute_reply", second)
    assert reply["status"] == "aborted"


async def test_the_rest_of_the_queue_runs(start, open_page, fetch):
    kernel_id, place = await start()
    page = await open_page(kernel_id)
    first = page.execute("import time; time.sleep(3)")
    second, third = page.execute("b = 2"), page.execute("print('b' in globals())")
    await page.get("execute_input", first)
    assert (await fetch(f"kernels/{kernel_id}/queue/{second}", method="DELETE"))[0] == 204
    _, printed = await page.get("stream", third)
    assert printed["text"] == "False\n"
    await page.get("execute_reply", third)
    await until(lambda: json.loads(place.waiting.read_text()) == [], "nothing waits")
    _, [listed] = await fetch("kernels")
    assert (listed["queued"], listed["last_output"], listed["state"]) == (0, "False", "idle")


async def test_a_cell_that_has_run_cannot_be_cancelled(start, jp_serverapp):
    """Also where the server hasn't heard of it yet: the kernel knows."""
    kernel_id, _ = await start()
    kernels = jp_serverapp.kernel_manager
    client = kernels.get_kernel(kernel_id).client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        done = client.execute("1")
        await client.get_shell_msg(timeout=20)
        kernels.get_kernel(kernel_id).activity.waiting.add(done, "", "")
        with pytest.raises(InvalidStateError, match="begun"):
            await kernels.cancel_request(kernel_id, done)
    finally:
        client.stop_channels()


async def test_a_page_is_answered_while_a_cell_runs(start, open_page):
    """Its questions and its widgets' messages, as after a reload in the middle of a cell."""
    kernel_id, _ = await start()
    page = await open_page(kernel_id)
    made = page.execute(
        "from comm import create_comm\n"
        "comm = create_comm('t', comm_id='it')\n"
        "heard = []\n"
        "comm.on_msg(lambda m: (heard.append(m['content']['data']), comm.send({'heard': len(heard)})))"
    )
    await page.get("execute_reply", made)
    running = page.execute(
        "import time\nend = time.time() + 30\nwhile time.time() < end and len(heard) < 2: time.sleep(0.01)"
    )
    await page.get("execute_input", running)
    again = await open_page(kernel_id)
    began = time.perf_counter()
    asked = again.send("comm_info_request", {"target_name": "t"})
    channel, answer = await again.get("comm_info_reply", asked)
    assert (channel, list(answer["comms"])) == ("shell", ["it"])
    asked = again.send("kernel_info_request", {})
    channel, answer = await again.get("kernel_info_reply", asked)
    assert (channel, answer["implementation"]) == ("shell", "ipython")
    for number in (1, 2):
        asked = again.send("comm_msg", {"comm_id": "it", "data": {"number": number}})
        _, answer = await again.get("comm_msg", asked)
        assert answer["data"] == {"heard": number}
    assert time.perf_counter() - began < 5, "the cell would have run for 30 s"
    _, reply = await page.get("execute_reply", running)
    assert reply["status"] == "ok"


async def test_a_widget_does_not_make_a_kernel_look_idle(start, open_page, fetch):
    kernel_id, _ = await start()
    page = await open_page(kernel_id)
    made = page.execute(
        "from comm import create_comm\ncomm = create_comm('t', comm_id='it')\ncomm.on_msg(lambda m: comm.send({}))"
    )
    await page.get("execute_reply", made)
    running = page.execute("import time; time.sleep(60)")
    await page.get("execute_input", running)
    asked = page.send("comm_msg", {"comm_id": "it", "data": {}})
    await page.get("comm_msg", asked)
    await asyncio.sleep(0.2)
    _, [listed] = await fetch("kernels")
    assert listed["state"] == "busy"


async def test_an_end_can_be_undone(start, fetch, jp_serverapp, monkeypatch):
    monkeypatch.setattr("lit_studio.extension.kernels.UNDO_SECONDS", 0.5)
    kernel_id, place = await start()
    path = f"kernels/{kernel_id}/shutdown"
    assert (await fetch(path, method="DELETE"))[0] == 409
    code, answer = await fetch(path, method="POST", body="{}")
    assert code == 202
    assert answer["at"] - time.time() < 0.6
    assert (await fetch("kernels"))[1][0]["shutdown_at"] == answer["at"]
    assert (await fetch(path, method="DELETE"))[0] == 204
    await asyncio.sleep(0.8)
    assert read_state(place.state).is_alive
    await fetch(path, method="POST", body="{}")
    await until(lambda: read_state(place.state).status == "exited", "its end")
    await until(lambda: kernel_id not in jp_serverapp.kernel_manager, "it is forgotten")
    assert (await fetch(path, method="DELETE"))[0] == 404


class TestIdle:
    @pytest.fixture
    def jp_server_config(self):
        return {
            "ServerApp": {"jpserver_extensions": {"lit_studio": True}},
            "LitStudioApp": {"persistent_kernels": True},
            "MappingKernelManager": {"cull_idle_timeout": 4, "cull_interval": 1},
        }

    async def test_an_idle_kernel_is_ended_after_a_warning_and_not_started_again(self, start, fetch, jp_serverapp):
        kernel_id, place = await start()
        policy = read_policy(place.policy)
        assert policy.idle_minutes == pytest.approx(4 / 60)
        warned = await until(lambda: read_state(place.state).cull_at, "the warning")
        assert (await fetch("kernels"))[1][0]["cull_at"] == pytest.approx(warned)
        await until(lambda: read_state(place.state).status == "exited", "its end", 30)
        state = read_state(place.state)
        assert state.culled
        assert state.ended >= warned
        await until(lambda: kernel_id not in jp_serverapp.kernel_manager, "it is forgotten")

    async def test_a_running_cell_a_page_and_a_wish_keep_it(self, start, open_page, fetch):
        kernel_id, place = await start()
        await fetch(f"kernels/{kernel_id}/awake", method="POST", body='{"hours": null}')
        assert (await fetch("kernels"))[1][0]["awake"] == "forever"
        page = await open_page(kernel_id)
        await until(lambda: read_policy(place.policy).connections == 1, "the page is counted")
        await page.get("execute_input", page.execute("import time; time.sleep(60)"))
        page.socket.close()
        await until(lambda: read_policy(place.policy).connections == 0, "the page is gone")
        assert (await fetch(f"kernels/{kernel_id}/awake", method="POST", body='{"hours": 0}'))[0] == 204
        assert (await fetch("kernels"))[1][0]["awake"] is None
        await asyncio.sleep(8)
        assert read_state(place.state).is_alive, "a running cell is never ended"
        assert (await fetch(f"kernels/{kernel_id}/awake", method="POST", body='{"hours": "x"}'))[0] == 400


class TestRefused:
    """Where somebody has chosen otherwise, kernels end with the server, and it says why."""

    async def check(self, fetch, start, jp_serverapp, reason: str):
        code, answer = await fetch("info")
        assert code == 200
        assert not answer["persistent_kernels"]["on"]
        assert reason in answer["persistent_kernels"]["reason"]
        assert type(jp_serverapp.kernel_manager) is AsyncMappingKernelManager
        assert await fetch("kernels") == (200, [])
        assert (await fetch("kernels/0123/shutdown", method="POST", body="{}"))[0] == 404

    @pytest.mark.parametrize(
        "jp_server_config",
        [
            {"ServerApp": {"jpserver_extensions": {"lit_studio": True}}, "LitStudioApp": {"persistent_kernels": False}},
        ],
    )
    async def test_switched_off(self, fetch, start, jp_serverapp):
        await self.check(fetch, start, jp_serverapp, "persistent_kernels is off")
        kernel_id, place = await start()
        assert not place.folder.exists()
        await jp_serverapp.kernel_manager.shutdown_kernel(kernel_id)

    @pytest.mark.parametrize(
        "jp_server_config",
        [
            {
                "ServerApp": {
                    "jpserver_extensions": {"lit_studio": True},
                    "kernel_manager_class": AsyncMappingKernelManager,
                },
                "LitStudioApp": {"persistent_kernels": True},
            },
        ],
    )
    async def test_another_class(self, fetch, start, jp_serverapp):
        await self.check(fetch, start, jp_serverapp, "is set to another class")

    @pytest.mark.parametrize(
        "jp_server_config",
        [
            {
                "ServerApp": {"jpserver_extensions": {"lit_studio": True, "jupyter_server_documents": True}},
                "LitStudioApp": {"persistent_kernels": True},
            },
        ],
    )
    async def test_jupyter_server_documents(self, fetch, start, jp_serverapp):
        await self.check(fetch, start, jp_serverapp, "jupyter server extension disable jupyter_server_documents")


OTHER = """
import sys
from ipykernel.kernelapp import IPKernelApp
IPKernelApp.launch_instance(argv=["-f", sys.argv[1]])
"""


async def test_a_kernel_of_another_kind_is_journalled_by_its_keeper(start, jp_data_dir, jp_root_dir, jp_serverapp):
    script = jp_root_dir / "other.py"
    script.write_text(OTHER)
    spec = {"argv": [sys.executable, str(script), "{connection_file}"], "display_name": "Other", "language": "other"}
    folder = jp_data_dir / "kernels" / "other"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    kernel_id, place = await start("other")
    known = read_spec(place.spec)
    assert not known.journals_itself
    assert known.connection["transport"] == "tcp", "not every kernel knows the others"
    client = jp_serverapp.kernel_manager.get_kernel(kernel_id).client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        await asyncio.sleep(0.5)  # a subscription takes a moment: what comes before is not in the journal
        msg_id = client.execute("print('hello')")
        await client.get_shell_msg(timeout=20)
        await until(lambda: read_execution(place.execution).state == "idle", "its end is known")
        records = list(read(place.journal))
        assert msg_id in [json.loads(record.parts[0])["msg_id"] for record in records if record.kind == REQUEST]
        texts = [json.loads(record.parts[3]).get("text") for record in records if record.kind == MESSAGE]
        assert "hello\n" in texts
    finally:
        client.stop_channels()


async def test_only_its_owner_reaches_a_kernel(start):
    _, place = await start()
    connection = read_spec(place.spec).connection
    assert connection["transport"] == "ipc"
    home = place.folder.parents[1]
    for folder in (home, home / "s", place.folder.parent, place.folder, place.journal):
        assert folder.stat().st_mode & 0o777 == 0o700, folder
    for file in (place.spec, place.state, place.policy, place.owner):
        assert file.stat().st_mode & 0o777 == 0o600, file


class TestTcp:
    @pytest.fixture
    def jp_server_config(self):
        return {
            "ServerApp": {"jpserver_extensions": {"lit_studio": True}},
            "LitStudioApp": {"persistent_kernels": True},
            "KernelManager": {"transport": "tcp"},
        }

    async def test_a_person_may_want_ports(self, start):
        _, place = await start()
        assert read_spec(place.spec).connection["transport"] == "tcp"
