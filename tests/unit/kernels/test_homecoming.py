"""Outputs find their cells, a file gets them without losing anybody's edit, and what a page has saved stays."""

from __future__ import annotations

import copy
import json
import threading
import time
from dataclasses import replace as changed

import nbformat
import pytest

from lit_studio.kernels import outcomes
from lit_studio.kernels.homecoming import bring_home, dump, find_notebooks
from lit_studio.kernels.journal import JournalWriter
from lit_studio.kernels.outcomes import HomeRecord, KernelOutcomes, journal_look
from lit_studio.kernels.places import KernelPlace
from lit_studio.kernels.reducer import Reducer, RequestOutputs
from lit_studio.kernels.state import KernelState, write
from tests.unit.kernels.wire import Wire


def notebook(*sources, minor=5):
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{index}") for index, source in enumerate(sources)]
    node = nbformat.v4.new_notebook(cells=cells)
    node.nbformat_minor = minor
    if minor < 5:
        for cell in node.cells:
            del cell["id"]
    return json.loads(nbformat.writes(node))


def ran(msg_id, source, cell="", *prints, session="page"):
    wire = Wire()
    wire.run(msg_id, source, cell, *prints, session=session)
    reducer = Reducer()
    for record in wire.records:
        reducer.feed(record)
    return reducer.requests()[0]


def shown(book):
    return [
        ("".join(cell["source"]), "".join("".join(one["text"]) for one in cell["outputs"])) for cell in book["cells"]
    ]


def hows(book, *requests, **options):
    return [one.how for one in bring_home(book, requests, **options)]


def test_outputs_go_into_their_cells_as_nbformat_writes_them():
    book = notebook("a", "b", "c")
    request = ran("1", "b", "cell-1", "x\ny")
    html = {"output_type": "display_data", "metadata": {}, "data": {"text/html": "<b>\n</b>", "image/png": "QUJD\n"}}
    tree = {"output_type": "display_data", "metadata": {}, "data": {"application/json": {"b": ["x\n"], "a": 1}}}
    request = changed(request, outputs=[*request.outputs, html, tree])
    expected = nbformat.from_dict(copy.deepcopy(book))
    expected.cells[1].outputs = [nbformat.from_dict(one) for one in request.outputs]
    expected.cells[1].execution_count = 1
    before = nbformat.writes(nbformat.from_dict(book)).encode()
    assert hows(book, request) == ["written"]
    assert dump(book, before).decode() == nbformat.writes(expected)
    assert hows(book, request) == ["same"]
    nbformat.validate(nbformat.from_dict(book))


def test_source_decides_where_ids_are_lost():
    request = ran("1", "b", "cell-1", "out")
    moved = notebook("a", "c", "b")
    assert hows(moved, request) == ["written"]
    assert shown(moved)[2] == ("b", "out")
    old = notebook("a", "b", minor=4)
    assert hows(old, request) == ["written"]
    assert hows(old, changed(request, cell_id="vscode-notebook-cell:/x.ipynb#W1")) == ["same"]
    assert hows(old, changed(request, cell_id="")) == ["same"]


def test_the_cell_of_the_id_comes_before_one_of_equal_source():
    book = notebook("b", "b", "b")
    assert hows(book, ran("1", "b", "cell-2", "out")) == ["written"]
    assert shown(book) == [("b", ""), ("b", ""), ("b", "out")]
    assert hows(book, ran("2", "b", "", "no id")) == ["recovered"]  # nobody can tell which of them it was


def test_a_cell_whose_id_was_claimed_is_not_taken_by_source():
    book = notebook("a", "changed")
    assert hows(book, ran("1", "a", "cell-1", "of 1"), ran("2", "a", "cell-0", "of 0")) == ["recovered", "written"]
    assert shown(book) == [("a", "of 0"), ("changed", ""), ("a", "of 1")]


@pytest.mark.parametrize("minor", [4, 5])
def test_edited_and_deleted_cells_are_recovered_once(minor):
    book = notebook("a", "edited", "c", minor=minor)
    requests = [ran("1", "b", "cell-1", "of b"), ran("2", "gone", "cell-9", "of gone"), ran("3", "quiet", "cell-8")]
    assert hows(book, *requests, recover=False) == ["missing", "missing", "nothing"]
    assert hows(book, *requests) == ["recovered", "recovered", "nothing"]
    order = ["a", "edited", "b", "c", "gone"] if minor == 5 else ["a", "edited", "c", "b", "gone"]
    assert [source for source, _ in shown(book)] == order
    again = copy.deepcopy(book)
    assert hows(again, *requests) == ["same", "same", "nothing"]
    assert again == book
    assert hows(again, changed(requests[0], outputs=requests[1].outputs)) == ["written"]
    assert len(again["cells"]) == len(book["cells"])
    nbformat.validate(nbformat.from_dict(book))
    new = book["cells"][order.index("b")]
    assert new["metadata"]["tags"] == ["lit-recovered"]


def test_the_later_of_two_runs_counts():
    book = notebook("a")
    assert hows(book, ran("1", "a", "cell-0", "old"), ran("2", "a", "cell-0", "new")) == ["written"]
    assert shown(book) == [("a", "new")]
    assert hows(book, ran("3", "a", "", "old"), ran("4", "a", "", "newest")) == ["written"]
    assert shown(book) == [("a", "newest")]


def test_an_aborted_cell_is_empty_as_in_jupyterlab():
    book = notebook("a")
    bring_home(book, [ran("1", "a", "cell-0", "old")])
    wire = Wire()
    wire.abort("2", "cell-0")
    reducer = Reducer()
    for record in wire.records:
        reducer.feed(record)
    assert hows(book, *reducer.requests()) == ["written"]
    assert (book["cells"][0]["outputs"], book["cells"][0]["execution_count"]) == ([], None)
    assert hows(notebook("other"), *[changed(one, cell_id="gone") for one in reducer.requests()]) == ["nothing"]


def test_timing_is_the_pages_wish():
    book = notebook("a")
    request = changed(ran("1", "a", "cell-0", "x"), timing={"iopub.status.idle": "now"})
    bring_home(book, [request])
    assert book["cells"][0]["metadata"] == {"execution": {"iopub.status.idle": "now"}}
    bring_home(book, [changed(request, timing={}, outputs=[])])
    assert book["cells"][0]["metadata"] == {}


@pytest.mark.parametrize(
    ("indent", "ascii", "end"),
    [(1, False, "\n"), (4, False, ""), (None, False, ""), (2, True, "\n"), ("\t", False, "\n")],
)
def test_the_file_keeps_its_form(indent, ascii, end):
    book = {"nbformat_minor": 5, "zebra": "ä", **notebook("ü = 1", "b")}
    separators = None if indent is None else (",", ": ")
    before = (json.dumps(book, indent=indent, ensure_ascii=ascii, separators=separators) + end).encode()
    book = json.loads(before)
    assert dump(book, before) == before
    bring_home(book, [ran("1", "b", "cell-1", "ö\n")])
    after = dump(book, before)
    assert after.isascii() == ascii
    assert json.loads(after) == book
    assert dump(book, before.replace(b"\n", b"\r\n")).count(b"\r\n") == after.count(b"\n")


def test_halves_of_characters_can_be_written():
    book = notebook("a")
    request = changed(
        ran("1", "a", "cell-0", "x"), outputs=[{"output_type": "stream", "name": "stdout", "text": "\ud83d"}]
    )
    bring_home(book, [request])
    assert "\ufffd" in dump(book, b"{}").decode()


def test_other_formats_are_refused():
    with pytest.raises(ValueError, match="format 4"):
        bring_home({"nbformat": 3, "worksheets": []}, [])
    with pytest.raises(ValueError, match="format 4"):
        bring_home({"nbformat": 4, "cells": "none"}, [])


def test_a_renamed_notebook_is_found_by_its_cells(tmp_path):
    (tmp_path / "deep" / ".ipynb_checkpoints").mkdir(parents=True)
    requests = [ran("1", "b", "cell-1", "x")]
    assert find_notebooks(tmp_path, requests) == []
    text = json.dumps(notebook("a", "b"))
    (tmp_path / "deep" / "new.ipynb").write_text(text)
    (tmp_path / "deep" / ".ipynb_checkpoints" / "new.ipynb").write_text(text)
    (tmp_path / "other.ipynb").write_text(json.dumps(notebook("a", "other")))
    (tmp_path / "broken.ipynb").write_text('{"cell-1": ')
    assert find_notebooks(tmp_path, requests) == [tmp_path / "deep" / "new.ipynb"]
    (tmp_path / "copy.ipynb").write_text(text)
    assert len(find_notebooks(tmp_path, requests)) == 2


# What is due ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "kernel"
    folder.mkdir()
    return KernelPlace(folder)


def write_journal(place, wire):
    writer = JournalWriter(place.journal)
    for record in wire.records:
        writer.append(record.kind, record.parts)
    writer.close()


def test_outcomes_follow_the_journal_and_say_how_the_kernel_died(place):
    wire = Wire()
    wire.begin("r", "train()", "one", recordTiming=True)
    wire.print("r", "epoch 1\n")
    assert journal_look(place.journal) == ""
    write_journal(place, wire)
    look = journal_look(place.journal)
    found = KernelOutcomes(place)
    snapshot = found.snapshot()
    assert [one["state"] for one in snapshot["requests"]] == ["running"]
    assert (snapshot["number"], len(snapshot["recent"])) == (4, 3)
    assert set(snapshot) == {"number", "requests", "recent", "display_ids", "pending_clear", "widgets"}
    write(place.state, KernelState(status="exited", exit_code=-9))
    (request,) = found.requests()
    assert request.state == "died"
    assert request.outputs[-1]["text"] == "[The kernel ended while this cell ran, killed by SIGKILL.]\n"
    assert journal_look(place.journal) == look
    more = Wire()
    more.print("r", "late")
    write_journal(place, more)
    assert journal_look(place.journal) != look
    assert found.snapshot()["number"] == 5


def request(msg_id, session="page", changed_at=100.0, state="done", number=5):
    return RequestOutputs(msg_id, "cell", session, "", 1, state, 0.0, 0.0, number, changed_at, {}, [])


def test_due_is_what_has_ended_and_is_in_no_file_yet(place):
    record = HomeRecord()
    done, running, died = request("a"), request("b", state="running"), request("c", state="died")
    assert record.due([done, running, died]) == [done, died]
    record.settle([done, died], "look")
    assert record.due([done, died]) == []
    late = changed(done, changed=9)  # a thread has printed, or another cell has updated a display
    assert record.due([late, died]) == [late]
    record.paths = ["/nb.ipynb"]
    record.write(place)
    assert HomeRecord.read(place) == record
    (place.folder / outcomes.RECORD).write_text("{")
    assert HomeRecord.read(place) == HomeRecord()


def test_a_pages_save_is_the_last_word_on_what_it_has_seen():
    record = HomeRecord()
    mine, others, young = request("a"), request("b", session="other"), request("c", changed_at=109.0)
    record.note_save({"page"}, followed=False, when=110.0)
    assert record.due([mine, others, young]) == [others, young]
    # Another page, which has only seen its own requests, doesn't take that back.
    record.note_save({"third"}, followed=False, when=120.0)
    assert record.due([mine, others, young]) == [others, young]
    record.note_save({"third"}, followed=True, when=130.0)
    assert record.due([mine, others, young]) == []


def test_a_reader_in_the_middle_of_what_is_folded_loses_nothing(place):
    """The keeper folds a segment while a server has read half of it."""
    from lit_studio.kernels.folding import fold

    writer, wire, found = JournalWriter(place.journal, segment_bytes=4000), Wire(), KernelOutcomes(place)
    wire.begin("r", "", "one")
    for index in range(400):
        wire.print("r", f"{index}\n")
    for number, record in enumerate(wire.records):
        writer.append(record.kind, record.parts)
        if number % 37 == 0:
            found.requests()
        if number % 53 == 0:
            fold(place.journal, 1000)
    expected = "".join(f"{index}\n" for index in range(400))
    assert found.requests()[0].outputs[0]["text"] == expected
    assert KernelOutcomes(place).requests()[0].outputs[0]["text"] == expected
    writer._number += 5  # a disk that was full
    wire.print("r", "after a gap")
    for _ in range(3):
        writer.append(wire.records[-1].kind, wire.records[-1].parts)
        found.requests()
    assert found.requests()[0].outputs[0]["text"] == expected + "after a gap" * 3


def test_many_threads_may_ask_at_once(place):
    wire = Wire()
    for index in range(200):
        wire.run(f"r{index}", f"{index}", f"c{index}", "x" * 100)
    write_journal(place, wire)
    found, kernel = [], KernelOutcomes(place)
    threads = [threading.Thread(target=lambda: found.append(len(kernel.snapshot()["requests"]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 8
    began = time.perf_counter()
    kernel.requests()
    assert time.perf_counter() - began < 1
