"""What is put into ipykernel works in each version that is supported: every hook, in a real kernel, by what it does.

The installed version is tested, and those in the folders that ``LIT_STUDIO_IPYKERNELS`` names (as ``PATH`` does; each
made by ``pip install --no-deps --target FOLDER ipykernel==VERSION``).
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import ipykernel
import pytest
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import KernelProvisionerFactory

from lit_studio.kernels.boot import CANCEL
from lit_studio.kernels.journal import MESSAGE, REQUEST, read
from lit_studio.kernels.places import KernelPlace
from lit_studio.kernels.state import read_execution
from lit_studio.kernels.testing import end_kernels

OTHERS = filter(None, os.environ.get("LIT_STUDIO_IPYKERNELS", "").split(os.pathsep))
FOLDERS = [Path(ipykernel.__file__).parents[1], *map(Path, OTHERS)]


def version_in(folder: Path) -> str:
    [found] = folder.glob("ipykernel-*.dist-info")
    return found.name.split("-")[1].removesuffix(".dist")


@pytest.fixture(scope="module", params=FOLDERS, ids=[version_in(folder) for folder in FOLDERS])
def kernel(request, tmp_path_factory):
    """Place and client of a kernel with this ipykernel."""
    runtime = tmp_path_factory.mktemp("r")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(runtime))
        patch.setenv("JUPYTER_DATA_DIR", str(runtime / "data"))
        patch.setenv("JUPYTER_DEFAULT_PROVISIONER_NAME", "lit-keeper")
        KernelProvisionerFactory.clear_instance()
        manager = KernelManager(kernel_name="python3")
        others = {"PYTHONPATH": str(request.param)} if request.param is not FOLDERS[0] else {}
        try:
            manager.start_kernel(env={**os.environ, **others})
            client = manager.client()
            client.start_channels()
            client.wait_for_ready(timeout=60)
            yield KernelPlace.of(manager.kernel_id), client, version_in(request.param)
            client.stop_channels()
            manager.shutdown_kernel(now=True)
        finally:
            end_kernels(runtime)
            KernelProvisionerFactory.clear_instance()


def execute(client, code, cell=""):
    message = client.session.msg("execute_request", {"code": code, "silent": False, "stop_on_error": False})
    message["metadata"] = {"cellId": cell, "recordTiming": True}
    client.shell_channel.send(message)
    return message["header"]["msg_id"]


def collect(client, msg_id):
    """All messages of the IOPub channel that belong to ``msg_id``, up to its end."""
    found = []
    while True:
        message = client.get_iopub_msg(timeout=30)
        if message["parent_header"].get("msg_id") == msg_id:
            found.append(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return found


def whose(record):
    """The message id of the request that a record belongs to."""
    return json.loads(record.parts[1 if record.kind == MESSAGE else 0]).get("msg_id")


def test_every_hook_was_taken(kernel):
    place, _, version = kernel
    taken = json.loads(place.hooks.read_text())
    assert taken.pop("ipykernel") == version
    assert {"messages", "requests", "replies", "cancel"} <= set(taken)
    assert [name for name, was in taken.items() if was is not True] == []


def test_the_journal_holds_all_messages_in_order_and_whose_they_are(kernel):
    place, client, _ = kernel
    code = (
        "import sys\nfrom IPython.display import display, update_display\n"
        "for i in range(50): print(i, flush=True)\n"
        "shown = display(1, display_id='d'); update_display(2, display_id='d')\n"
        "print('wrong', file=sys.stderr); display({'application/x': b'1'.decode()}, raw=True)\n"
        "import subprocess; _ = subprocess.run(['echo', 'from a child'])\n"
        "6 * 7"
    )
    msg_id = execute(client, code, "cell-1")
    seen = collect(client, msg_id)
    records = [record for record in read(place.journal) if whose(record) == msg_id]
    kept = [json.loads(record.parts[0])["msg_id"] for record in records if record.kind == MESSAGE]
    assert kept == [message["header"]["msg_id"] for message in seen]
    contents = [json.loads(record.parts[3]) for record in records if record.kind == MESSAGE]
    assert contents == [message["content"] for message in seen]
    [request] = [record for record in records if record.kind == REQUEST]
    assert json.loads(request.parts[1])["cellId"] == "cell-1"
    numbers = [record.number for record in read(place.journal)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_busy_is_who_runs_a_cell(kernel):
    place, client, _ = kernel
    msg_id = execute(client, "import time; time.sleep(1)", "cell-2")
    while read_execution(place.execution).state != "busy":
        time.sleep(0.01)
    found = read_execution(place.execution)
    assert (found.msg_id, found.cell_id) == (msg_id, "cell-2")
    collect(client, msg_id)
    ended = read_execution(place.execution)
    assert (ended.state, ended.msg_id, ended.count) == ("idle", msg_id, found.count)
    assert ended.since - found.since == pytest.approx(1, abs=0.5)
    client.complete("pri")
    client.get_shell_msg(timeout=10)
    assert read_execution(place.execution) == ended, "a completion is no cell"


def test_one_of_three_cells_is_left_out(kernel):
    _, client, _ = kernel
    first = execute(client, "import time; time.sleep(2)")
    second, third = execute(client, "left = 'run'"), execute(client, "print(globals().get('left'))")
    cancel = client.session.msg(CANCEL, {"msg_ids": [second]})
    client.control_channel.send(cancel)
    reply = client.control_channel.get_msg(timeout=2)
    assert (reply["msg_type"], reply["content"]["begun"]) == (CANCEL.replace("request", "reply"), [])
    replies = {}
    while third not in replies:
        message = client.get_shell_msg(timeout=30)
        replies[message["parent_header"]["msg_id"]] = message["content"]["status"]
    assert {key: replies[key] for key in (first, second, third)} == {first: "ok", second: "aborted", third: "ok"}
    assert [one["content"]["text"] for one in collect(client, third) if one["msg_type"] == "stream"] == ["None\n"]
    client.control_channel.send(client.session.msg(CANCEL, {"msg_ids": [first]}))
    assert client.control_channel.get_msg(timeout=5)["content"]["begun"] == [first]


def test_a_widgets_answer_does_not_wait_for_the_cell(kernel):
    _, client, _ = kernel
    client.control_channel.send(client.session.msg("create_subshell_request", {}))
    subshell = client.control_channel.get_msg(timeout=10)["content"]["subshell_id"]
    code = (
        "from comm import create_comm\ncomm = create_comm('t', comm_id='it')\nheard = []\n"
        "comm.on_msg(lambda m: heard.append(1))\n"
        "import time\nend = time.time() + 20\n"
        "while not heard and time.time() < end: time.sleep(0.01)\nprint(len(heard))"
    )
    msg_id = execute(client, code)
    while client.get_iopub_msg(timeout=10)["msg_type"] != "comm_open":
        pass
    message = client.session.msg("comm_msg", {"comm_id": "it", "data": {}})
    message["header"]["subshell_id"] = subshell
    client.shell_channel.send(message)
    assert [one["content"]["text"] for one in collect(client, msg_id) if one["msg_type"] == "stream"] == ["1\n"]


def test_a_forked_child_writes_nothing(kernel):
    place, client, _ = kernel
    code = "import os\nif not os.fork(): print('child'); os._exit(0)\n_ = os.wait()"
    collect(client, execute(client, code))
    numbers = [record.number for record in read(place.journal)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_nothing_of_ours_can_be_imported_by_chance(kernel):
    _, client, _ = kernel
    seen = collect(client, execute(client, "import sys; print([p for p in sys.path if p.endswith('kernels')])"))
    assert [one["content"]["text"] for one in seen if one["msg_type"] == "stream"] == ["[]\n"]
