"""When outputs go home, how, and what stands in the way: the server's part, on journals that were written before."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import nbformat
import pytest

from lit_studio.kernels.journal import JournalWriter
from lit_studio.kernels.outcomes import HomeRecord
from lit_studio.kernels.places import KernelPlace
from lit_studio.kernels.state import KernelState, write
from tests.server.page import printed, read_notebook, write_notebook
from tests.unit.kernels.wire import Wire

pytest_plugins = ["pytest_jupyter.jupyter_server"]


@pytest.fixture
def jp_server_config():
    # The rounds are made by the tests, not by the clock.
    return {
        "ServerApp": {"jpserver_extensions": {"lit_studio": True}},
        "LitStudioApp": {"persistent_kernels": True, "save_outputs": False, "save_outputs_after": 0.0},
    }


@pytest.fixture
def home(jp_serverapp):
    """What brings outputs home in this server."""
    [app] = jp_serverapp.extension_manager.extension_apps["lit_studio"]
    return app.homecoming


@pytest.fixture
def dead_kernel(home, root):
    """``dead_kernel(wire, notebook)``: a kernel that has ended and left this journal; its place."""

    def make(wire, *paths, name="dead"):
        place = KernelPlace.of(name)
        place.folder.mkdir()
        writer = JournalWriter(place.journal)
        for record in wire.records:
            writer.append(record.kind, record.parts)
        writer.close()
        write(place.state, KernelState(status="exited", exit_code=0, ended=time.time()))
        HomeRecord(paths=[str(path) for path in paths]).write(place)
        home._kernel(name).looked_at = 0.0  # long ago
        return place

    return make


@pytest.fixture
def notebook(root):
    path = root / "a.ipynb"
    write_notebook(path, {"one": "print(1)", "two": "print(2)"})
    return path


def wire_of(*runs):
    wire = Wire(time.time() - 60)
    for msg_id, source, cell, text in runs:
        wire.run(msg_id, source, cell, text)
    return wire


BOTH = (("r1", "print(1)", "one", "1\n"), ("r2", "print(2)", "two", "2\n"))


async def rounds(home, count=2):
    """Rounds, each as if enough time had passed since the last one."""
    for _ in range(count):
        home._looked_at_dead = -1e9
        for kernel in home._kernels.values():
            kernel.not_before = 0.0
        await home.look()


async def test_a_kernel_that_ended_while_no_server_was_there(home, dead_kernel, notebook):
    place = dead_kernel(wire_of(*BOTH), notebook)
    await rounds(home, 1)
    assert printed(notebook) == [("print(1)", "1\n"), ("print(2)", "2\n")]
    assert HomeRecord.read(place).settled == {}  # not before a second look
    await rounds(home, 1)
    record = HomeRecord.read(place)
    assert set(record.settled) == {"r1", "r2"}
    stat = notebook.stat()
    await rounds(home, 2)
    assert notebook.stat() == stat, "nothing is written that is there already"


async def test_an_editor_that_writes_back_what_it_had_read_gets_the_outputs_again(home, dead_kernel, notebook):
    dead_kernel(wire_of(*BOTH), notebook)
    before = notebook.read_bytes()
    await rounds(home, 1)
    notebook.write_bytes(before.replace(b"print(2)", b"print(2) # edited"))
    await rounds(home, 1)
    assert printed(notebook) == [("print(1)", "1\n"), ("print(2) # edited", ""), ("print(2)", "2\n")]


async def test_what_is_settled_stays_as_people_have_it(home, dead_kernel, notebook):
    dead_kernel(wire_of(*BOTH), notebook)
    await rounds(home)
    book = read_notebook(notebook)
    book.cells[0].outputs = []
    notebook.write_text(nbformat.writes(book))
    await rounds(home)
    assert printed(notebook)[0] == ("print(1)", "")


async def test_two_notebooks_of_one_kernel_get_each_their_own(home, dead_kernel, notebook, root):
    other = root / "b.ipynb"
    write_notebook(other, {"three": "print(3)"})
    runs = [*BOTH, ("r3", "print(3)", "three", "3\n"), ("r4", "gone", "four", "4\n")]
    dead_kernel(wire_of(*runs), notebook, other)
    await rounds(home)
    assert printed(notebook) == [("print(1)", "1\n"), ("print(2)", "2\n"), ("gone", "4\n")]
    assert printed(other) == [("print(3)", "3\n")]


async def test_a_notebook_outside_the_servers_folder_is_left_alone(home, dead_kernel, tmp_path):
    outside = tmp_path / "outside" / "a.ipynb"
    outside.parent.mkdir()
    write_notebook(outside, {"one": "print(1)"})
    place = dead_kernel(wire_of(BOTH[0]), outside)
    await rounds(home)
    assert printed(outside) == [("print(1)", "")]
    assert "outside" in HomeRecord.read(place).problem


async def test_a_broken_notebook_is_neither_touched_nor_fatal(home, dead_kernel, notebook, root, monkeypatch):
    monkeypatch.setattr("lit_studio.extension.homecoming.TRIES", 2)
    broken = root / "broken.ipynb"
    broken.write_text('{"cells": [')
    dead_kernel(wire_of(*BOTH), broken, name="a-broken")
    dead_kernel(wire_of(*BOTH), notebook, name="b-fine")
    await rounds(home)
    assert broken.read_text() == '{"cells": ['
    assert printed(notebook)[0] == ("print(1)", "1\n")


async def test_a_hook_that_strips_outputs_before_saving_is_heard(home, dead_kernel, notebook, jp_serverapp):
    def strip(model, **options):
        for cell in model["content"].cells:
            cell.outputs, cell.execution_count = [], None

    jp_serverapp.contents_manager.pre_save_hook = strip
    dead_kernel(wire_of(*BOTH), notebook)
    await rounds(home)
    assert printed(notebook) == [("print(1)", ""), ("print(2)", "")]


async def test_another_server_of_the_same_user_is_not_in_the_way(home, dead_kernel, notebook):
    from lit_studio.extension.homecoming import _only_one

    place = dead_kernel(wire_of(*BOTH), notebook)
    with _only_one(place) as is_ours:
        assert is_ours
        await rounds(home)
    assert printed(notebook) == [("print(1)", ""), ("print(2)", "")]
    await rounds(home)
    assert printed(notebook)[0] == ("print(1)", "1\n")


async def test_a_large_notebook(home, dead_kernel, root):
    path = root / "large.ipynb"
    write_notebook(path, {"one": "print(1)", **{f"c{index}": "#" + "x" * 200_000 for index in range(60)}})
    dead_kernel(wire_of(BOTH[0]), path)
    before = path.stat().st_size
    assert before > 12e6
    began = time.perf_counter()
    await rounds(home)
    assert time.perf_counter() - began < 20
    assert printed(path)[0] == ("print(1)", "1\n")
    assert 0 < path.stat().st_size - before < 1000, "nothing but the output was added"


async def test_the_answer_for_a_page(home, dead_kernel, notebook, fetch):
    dead_kernel(wire_of(*BOTH), notebook)
    status, answer = await fetch("kernels/dead/outputs?session=me")
    assert status == 200
    assert [one["outputs"][0]["text"] for one in answer["requests"]] == ["1\n", "2\n"]
    assert answer["kernel"] == "dead"
    assert len(answer["recent"]) == 8  # all messages, but not the two records of the requests themselves
    status, answer = await fetch("kernels/other/outputs")
    assert status == 404
    assert "no journal" in answer["message"]


async def test_the_document_says_what_is_answered(home, dead_kernel, notebook, fetch):
    import jsonschema
    import yaml

    import lit_studio.extension

    wire = wire_of(*BOTH)
    wire.begin("r3", "x", "three", recordTiming=True)
    wire.display("r3", "shown", "d")
    wire.widget("r3", "w")
    wire.widget("r3", "w", msg_id="r3")
    wire.print("r3", "taken")
    wire.widget("r3", "w", msg_id="")
    wire.clear("r3", wait=True)
    dead_kernel(wire, notebook)
    _, answer = await fetch("kernels/dead/outputs")
    path = lit_studio.extension.__file__.replace("__init__.py", "openapi.yaml")
    with open(path) as file:  # noqa: PTH123
        document = yaml.safe_load(file)
    jsonschema.validate(answer, {"$ref": "#/components/schemas/Outputs", "components": document["components"]})
    assert answer["display_ids"] == {"d": [["r3", 0]]}
    assert answer["pending_clear"] == ["r3"]
    assert answer["widgets"]["w"][0]["text"] == "taken"
    assert answer["requests"][2]["state"] == "died"


class TestCollaboration:
    """With jupyter-collaboration 5: an open room is written to, never the file behind it."""

    @pytest.fixture
    def jp_server_config(self, tmp_path):
        pytest.importorskip("jupyter_server_ydoc", reason="jupyter-collaboration is not installed")
        extensions = {"lit_studio": True, "jupyter_server_ydoc": True, "jupyter_server_fileid": True}
        return {
            "ServerApp": {"jpserver_extensions": extensions},
            "LitStudioApp": {"persistent_kernels": True, "save_outputs": False, "save_outputs_after": 0.0},
            "BaseFileIdManager": {"db_path": str(tmp_path / "ids.db")},
            "SQLiteYStore": {"db_path": str(tmp_path / "rooms.db")},
            "YDocExtension": {"document_save_delay": 0.2},
        }

    async def room_of(self, server, path):
        [app] = server.extension_manager.extension_apps["jupyter_server_ydoc"]
        where = {"path": path.name, "content_type": "notebook", "file_format": "json"}
        return await app.get_document(**where, copy=False, create=True)

    async def test_typing_in_an_open_room_survives(self, home, dead_kernel, notebook, jp_serverapp):
        document = await self.room_of(jp_serverapp, notebook)
        runs = [*BOTH, ("r3", "gone", "three", "3\n")]
        dead_kernel(wire_of(*runs), notebook)
        source = document.ycells[1]["source"]
        source += " # being typed"  # in a cell whose output comes, not yet saved
        before = notebook.read_bytes()
        await home.look()
        assert notebook.read_bytes() == before, "the room saves itself"
        cells = [document.get_cell(index) for index in range(document.cell_number)]
        assert [cell["source"] for cell in cells] == ["print(1)", "print(2) # being typed", "print(2)", "gone"]
        texts = ["".join(one["text"] for one in cell["outputs"]) for cell in cells]
        assert texts == ["1\n", "", "2\n", "3\n"]
        await rounds(home)
        assert document.cell_number == 4, "none is recovered twice"
        for _ in range(100):
            if printed(notebook)[0][1]:
                break
            await home._server.io_loop.run_in_executor(None, time.sleep, 0.1)
        assert printed(notebook)[:2] == [("print(1)", "1\n"), ("print(2) # being typed", "")]

    async def test_without_a_room_the_file_is_written(self, home, dead_kernel, notebook):
        dead_kernel(wire_of(*BOTH), notebook)
        await rounds(home)
        assert printed(notebook) == [("print(1)", "1\n"), ("print(2)", "2\n")]


def test_a_room_without_the_inner_way_gets_whole_cells():
    """Another version of jupyter_ydoc may have no way to set outputs alone: the cell is replaced by its public way."""
    from lit_studio.extension.rooms import Room

    book = {"nbformat": 4, "nbformat_minor": 5, "cells": [{"cell_type": "code", "id": "one", "source": "print(1)"}]}
    set_cells = []

    class Quiet:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    document = SimpleNamespace(
        get=lambda: json.loads(json.dumps(book)),
        ydoc=SimpleNamespace(transaction=Quiet),
        set_cell=lambda index, value: set_cells.append((index, value)),
    )
    from lit_studio.kernels.reducer import Reducer

    reducer = Reducer()
    for record in wire_of(BOTH[0]).records:
        reducer.feed(record)
    [outcome] = Room(document).bring_home(reducer.requests(), True)
    assert outcome.how == "written"
    assert [(index, value["outputs"][0]["text"]) for index, value in set_cells] == [(0, "1\n")]
