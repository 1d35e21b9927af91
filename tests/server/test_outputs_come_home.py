"""Cells run with no page: outputs reach the notebook on disk, even if the server is killed, and no edit is lost."""

from __future__ import annotations

import json
import random
import re
import time

import nbformat
import pytest

from tests.server.live import LiveServer, wait_for
from tests.server.page import Page, printed, read_notebook, write_notebook

SLOW = "import time; time.sleep(1); print('A out')"
CELLS = {"cell-0": SLOW, "cell-1": "print('B out')", "cell-2": "# untouched"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("s")
    server = LiveServer(home, home / "root", "--LitStudioApp.save_outputs_after=0.5")
    yield server
    for kernel in server.api("api/kernels"):
        server.api(f"api/kernels/{kernel['id']}", "DELETE")
    server.end()


@pytest.fixture
def begin(server, request):
    """Starts a notebook's kernel: ``begin(cells)`` returns its path, session and kernel."""

    def begin(cells=None, minor=5):
        path = server.root / f"{re.sub(r'[^a-z_]+', '-', request.node.name)}.ipynb"
        write_notebook(path, CELLS if cells is None else cells, minor)
        session, kernel = server.start_session(path.name)
        begun.append(kernel)
        return path, session, kernel

    begun = []
    yield begin
    for kernel in begun:
        kernel.close()
        server.ask(f"api/kernels/{kernel.id}", "DELETE")


def complete(path, expected, seconds=20.0):
    """Until the notebook says what is expected; what it says."""

    def says():
        try:
            return printed(path) == expected
        except (OSError, ValueError):
            return False

    try:
        wait_for(says, "the outputs", seconds)
    except AssertionError:
        assert printed(path) == expected
    time.sleep(2.5)  # a second look has been taken
    return printed(path)


def settled(kernel, count):
    """Until the server has done all that it will do for ``count`` requests."""

    def is_settled():
        try:
            return len(json.loads((kernel.place.folder / "home.json").read_text())["settled"]) >= count
        except (OSError, ValueError):
            return False

    wait_for(is_settled, "the kernel's outputs are settled", 20)


def test_the_page_is_closed_and_the_server_killed_while_cells_run(tmp_path):
    cells = {
        "c0": "import time, sys\ntime.sleep(2); print('one')",
        "c1": "for i in range(20): print(f'\\r{i}', end='')",
        "c2": "from IPython.display import display, clear_output\nh = display('first', display_id=True)",
        "c3": "h.update('second'); 6 * 7",
        "c4": "for i in range(3): clear_output(wait=True); print('frame', i)",
        "c5": "print('err', file=sys.stderr); 1 / 0",
        "c6": "print('never')",
    }
    server = LiveServer(tmp_path / "h", tmp_path / "root")
    try:
        path = server.root / "a.ipynb"
        write_notebook(path, cells)
        _, kernel = server.start_session(path.name)
        page = Page(kernel)
        asked = [page.ask(code, cell, recordTiming=True) for cell, code in cells.items()]
        page.wait_for(asked[0], "execute_input")
        page.close()
        server.kill()
        kernel.wait_until("idle", 30)
        assert not any(cell.outputs for cell in read_notebook(path).cells)
        server.start()
        began = time.monotonic()
        wait_for(lambda: read_notebook(path).cells[5].outputs, "the notebook is complete")
        assert time.monotonic() - began < 10
        time.sleep(2)
        book = read_notebook(path)
        nbformat.validate(book)
        assert [cell.execution_count for cell in book.cells] == [1, 2, 3, 4, 5, 6, None]
        found = [
            [one.get("text", one.get("data", {}).get("text/plain")) for one in cell.outputs] for cell in book.cells
        ]
        assert found[:5] == [["one\n"], ["19"], ["'second'"], ["42"], ["frame 2\n"]]
        assert [one.output_type for one in book.cells[5].outputs] == ["stream", "error"]
        assert book.cells[6].outputs == []
        assert [sorted(cell.metadata.get("execution", {}))[:1] for cell in book.cells[:6]] == [
            ["iopub.execute_input"]
        ] * 6
        outputs = server.api(f"lit-studio/api/kernels/{kernel.id}/outputs")
        assert [one["state"] for one in outputs["requests"]] == ["done"] * 6 + ["aborted"]
        assert outputs["home"] == {"paths": [str(path)], "problem": ""}
        settled(kernel, 7)
    finally:
        for one in server.api("api/kernels"):
            server.api(f"api/kernels/{one['id']}", "DELETE")
        server.end()


def edit(change):
    def do(server, path):
        book = read_notebook(path)
        change(book)
        path.write_text(nbformat.writes(book), encoding="utf-8")
        return path

    return do


def move_on_disk(server, path):
    return path.rename(path.with_name(f"moved-{path.name}"))


def rename_by_api(server, path):
    server.api(f"api/contents/{path.name}", "PATCH", {"path": f"renamed-{path.name}"})
    return path.with_name(f"renamed-{path.name}")


DONE = [(SLOW, "A out\n"), ("print('B out')", "B out\n"), ("# untouched", "")]
CASES = {
    "untouched": (lambda server, path: path, DONE),
    "another cell edited": (edit(lambda book: book.cells[2].update(source="# edited")), [*DONE[:2], ("# edited", "")]),
    "the cell edited": (
        edit(lambda book: book.cells[0].update(source="new")),
        [("new", ""), (SLOW, "A out\n"), *DONE[1:]],
    ),
    "the cell deleted": (edit(lambda book: book.cells.pop(0)), [*DONE[1:], DONE[0]]),
    "cells moved": (edit(lambda book: book.cells.append(book.cells.pop(0))), [*DONE[1:], DONE[0]]),
    "moved on disk": (move_on_disk, DONE),
    "renamed by the page": (rename_by_api, DONE),
}


@pytest.mark.parametrize("case", CASES)
def test_where_outputs_go(server, begin, case):
    do, expected = CASES[case]
    ids = [f"{case.replace(' ', '-')}-{index}" for index in range(3)]
    path, _, kernel = begin(dict(zip(ids, CELLS.values(), strict=True)))
    page = Page(kernel)
    asked = page.ask(SLOW, ids[0])
    page.ask("print('B out')", ids[1])
    page.wait_for(asked, "execute_input")
    time.sleep(0.3)  # what a websocket got in its last moment may not have gone on to the kernel
    page.close()
    path = do(server, path)
    assert complete(path, expected) == expected
    settled(kernel, 2)


def test_clients_that_name_no_cell(server, begin):
    path, _, kernel = begin(minor=4)
    page = Page(kernel)
    page.run(SLOW, None)
    page.run("print('B out')", "vscode-notebook-cell:/x/a.ipynb#W0sZmlsZQ%3D%3D")
    page.close()
    assert complete(path, DONE) == DONE


def test_a_copy_beside_makes_it_ambiguous_and_outputs_stay_in_the_journal(server, begin):
    cells = {f"twin-{index}": source for index, source in enumerate(CELLS.values())}
    path, _, kernel = begin(cells)
    page = Page(kernel)
    asked = page.ask(SLOW, "twin-0")
    page.wait_for(asked, "execute_input")
    page.close()
    path.with_name("twin1.ipynb").write_bytes(path.read_bytes())
    path.rename(path.with_name("twin2.ipynb"))
    problem = wait_for(
        lambda: server.api(f"lit-studio/api/kernels/{kernel.id}/outputs")["home"]["problem"], "it is said"
    )
    assert "twin1.ipynb, twin2.ipynb" in problem
    assert printed(path.with_name("twin1.ipynb"))[0][1] == ""
    outputs = server.api(f"lit-studio/api/kernels/{kernel.id}/outputs")
    assert outputs["requests"][0]["outputs"] == [{"output_type": "stream", "name": "stdout", "text": "A out\n"}]


def save(server, path, change=lambda book: None):
    """As a page saves: the whole notebook by the contents API."""
    book = read_notebook(path)
    change(book)
    server.api(f"api/contents/{path.name}", "PUT", {"type": "notebook", "format": "json", "content": book})


def test_cleared_outputs_stay_cleared(server, begin):
    path, _, kernel = begin()
    page = Page(kernel)
    page.run("print('B out')", "cell-1")
    time.sleep(2.2)
    save(server, path)  # the page showed the output and cleared it
    page.close()
    settled(kernel, 1)
    time.sleep(1)
    assert [text for _, text in printed(path)] == ["", "", ""]


def test_outputs_of_another_page_are_not_lost_to_one_that_never_saw_them(server, begin):
    path, _, kernel = begin()
    first = Page(kernel)
    first.run("print('B out')", "cell-1")
    first.close()
    second = Page(kernel)  # opened at once: the server had no time, and this page knows nothing of the output
    time.sleep(2.5)
    save(server, path)
    second.close()
    assert complete(path, [(SLOW, ""), *DONE[1:]]) == [(SLOW, ""), *DONE[1:]]


def test_a_page_that_took_a_snapshot_has_the_last_word(server, begin):
    path, _, kernel = begin()
    first = Page(kernel)
    first.run("print('B out')", "cell-1")
    first.close()
    second = Page(kernel)
    server.api(f"lit-studio/api/kernels/{kernel.id}/outputs?session={second.session}")
    time.sleep(2.5)
    save(server, path)
    second.close()
    settled(kernel, 1)
    assert [text for _, text in printed(path)] == ["", "", ""]


def test_nothing_is_written_under_an_open_page(server, begin):
    path, _, kernel = begin()
    page = Page(kernel)
    page.run("print('B out')", "cell-1")
    time.sleep(3)
    assert [text for _, text in printed(path)] == ["", "", ""]
    page.close()
    complete(path, [(SLOW, ""), *DONE[1:]])


def test_the_kernel_dies_while_a_cell_runs(server, begin):
    code = (
        "import os, time, signal; print('to the last', flush=True); time.sleep(1); os.kill(os.getpid(), signal.SIGKILL)"
    )
    path, session, kernel = begin({"cell-0": code})
    page = Page(kernel)
    page.wait_for(page.ask(code, "cell-0"), "execute_input")
    page.close()
    wait_for(lambda: "kernel ended" in path.read_text(), "the notebook says so")
    text = printed(path)[0][1]
    assert text.startswith("to the last\n[The kernel ended while this cell ran")


def test_what_a_page_gets_in_mid_cell(server, begin):
    code = "import time\nfor i in range(100): print(i, flush=True); time.sleep(0.1)"
    _, _, kernel = begin({"cell-0": code, "cell-1": "print('next')"})
    page = Page(kernel)
    asked = page.ask(code, "cell-0")
    waiting = page.ask("print('next')", "cell-1")
    page.wait_for(asked, "stream")
    answer = server.api(f"lit-studio/api/kernels/{kernel.id}/outputs")
    assert [(one["msg_id"], one["state"], one["cell_id"]) for one in answer["requests"]] == [
        (asked, "running", "cell-0"),
        (waiting, "queued", "cell-1"),
    ]
    [output] = answer["requests"][0]["outputs"]
    assert output["text"].startswith("0\n")
    # Each line is in the snapshot or comes live, told apart by the messages' ids: none twice, none lost.
    rest = [one for one in page.wait_for(waiting) if one["msg_type"] == "stream"]
    rest = [one for one in rest if one["header"]["msg_id"] not in answer["recent"]]
    live = "".join(one["content"]["text"] for one in rest if one["parent_header"]["msg_id"] == asked)
    assert output["text"] + live == "".join(f"{index}\n" for index in range(100))
    page.close()
    assert server.ask("lit-studio/api/kernels/none/outputs")[0] == 404
    assert server.ask("lit-studio/api/kernels/..%2f..%2fx/outputs")[0] == 404


def test_an_editor_by_api_loses_no_edit_and_no_output(server, begin):
    """As JupyterLab saves: read with its hash, edit, compare the hash, write."""
    edits, rng = 200, random.Random(11)
    path, _, kernel = begin({"cell-0": "print('r')", "cell-1": "0", **{f"c{index}": "x = 'y'" for index in range(50)}})
    name, expected, lost, done, rounds = path.name, 0, 0, 0, 0
    while done < edits:
        if done % 40 == 0:
            page = Page(kernel)
            page.run("print('r')", "cell-0")
            page.close()
            rounds += 1
        model = server.api(f"api/contents/{name}?content=1&hash=1&type=notebook")
        cell = model["content"]["cells"][1]
        lost += int(cell["source"]) != expected
        expected = int(cell["source"]) + 1
        cell["source"] = str(expected)
        if server.api(f"api/contents/{name}?content=0&hash=1")["hash"] != model["hash"]:
            expected -= 1  # a person would be asked; this one reads again
            continue
        body = {"type": "notebook", "format": "json", "content": model["content"]}
        server.api(f"api/contents/{name}", "PUT", body)
        done += 1
        time.sleep(rng.random() * 0.02)
    settled(kernel, 1)
    assert lost == 0
    wait_for(lambda: read_notebook(path).cells[0].execution_count == rounds, "the last run's output", 20)
    assert printed(path)[:2] == [("print('r')", "r\n"), (str(edits), "")]
    assert not [one.name for one in path.parent.iterdir() if ".conflict" in one.name or ".tmp" in one.name]


def test_the_notebook_stays_trusted_or_becomes_so_by_what_its_user_ran(server, begin):
    code = "from IPython.display import HTML, display; display(HTML('<b>bold</b>'))"
    path, _, kernel = begin({"cell-0": code})
    page = Page(kernel)
    page.run(code, "cell-0")
    page.close()
    wait_for(lambda: "bold" in "".join(map(str, read_notebook(path).cells[0].outputs)), "the output")
    for _ in range(3):  # the notary's database is used by the loop's thread only
        model = server.api(f"api/contents/{path.name}?content=1&type=notebook")
        assert model["content"]["cells"][0]["metadata"]["trusted"] is True
