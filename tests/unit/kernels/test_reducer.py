"""The reducer's rules one by one; ``tests/browser/test_outputs_reference.py`` holds it against JupyterLab itself."""

from __future__ import annotations

import json
import random
import time

import pytest

from lit_studio.kernels.areas import Limits
from lit_studio.kernels.journal import FOLDED, MESSAGE, REQUEST, Record
from lit_studio.kernels.reducer import Reducer
from lit_studio.kernels.streams import StreamText
from tests.unit.kernels.wire import Wire


def reduce(wire, limits=None):
    reducer = Reducer(limits)
    for record in wire.records:
        reducer.feed(record)
    return reducer


def outputs(reducer, msg_id="r"):
    return next(one.outputs for one in reducer.requests() if one.msg_id == msg_id)


def brief(found):
    """Outputs as texts: streams by name, others by their plain text."""
    return [
        f"{one['name']}:{one['text']}" if one["output_type"] == "stream" else one["data"]["text/plain"] for one in found
    ]


@pytest.mark.parametrize(
    ("parts", "shown"),
    [
        (["a", "b\n", "c"], "ab\nc"),
        (["10%\r20%", "\r100%"], "100%"),
        (["100%\rx"], "x00%"),
        (["ab\r", "\ncd"], "ab\ncd"),
        (["abc\b\bX"], "aX"),  # the backspace also takes what is under the cursor
        (["a\n\b\bb"], "a\nb"),
        (["\b\b"], ""),
        (["one\r\ntwo\r\n"], "one\ntwo\n"),
        (["ab\r\rc\n\rd"], "cb\nd"),
        (["😀😀\rabc"], "abc\ufffd"),  # two UTF-16 units each
        (["é\rx"], "x"),
        (["x\u2028y\r\x0bz"], "\x0bz" + "y"),
    ],
)
def test_the_cursor_moves_as_in_jupyterlab(parts, shown):
    stream = StreamText()
    for part in parts:
        stream.add(part)
    assert stream.text() == shown
    again = StreamText.unfold(json.loads(json.dumps(stream.fold())))
    assert again.text() == shown


def test_a_long_stream_keeps_its_beginning_and_its_end():
    stream, said = StreamText(limit=1000), "".join(f"line {index}\n" for index in range(5000))
    rng, at = random.Random(3), 0
    while at < len(said):
        size = rng.randrange(1, 700)
        stream.add(said[at : at + size])
        at += size
    shown = stream.text()
    first, line, last = shown.partition("\n[… ")[0], shown.partition("\n[… ")[2].partition("]")[0], shown[-1000:]
    assert said.startswith(first)
    assert said.endswith(last)
    assert 1000 <= len(first) < 1100
    assert len(shown) < 3000
    lines, characters = (int(word.replace(",", "")) for word in line.split() if word[0].isdigit())
    kept = shown.replace(f"\n[… {line}]\n\n", "")
    assert len(kept) + characters == len(said)
    assert kept.count("\n") + lines == 5000


def test_up_to_twice_the_limit_nothing_is_left_out():
    said = "".join(f"{index:07d}\n" for index in range(250))
    for size in (1, 7, 64, 2000):
        stream = StreamText(limit=1000)
        for at in range(0, len(said), size):
            stream.add(said[at : at + size])
        assert stream.text() == said


def test_a_line_without_end_stays_bounded():
    stream = StreamText(limit=1000)
    for index in range(20_000):
        stream.add(f"{index},")
    assert stream.size < 8000
    assert stream.text().startswith("0,1,2,")
    assert stream.text().endswith(",19999,")
    assert "characters left out here" in stream.text()


def test_streams_merge_only_while_they_follow_one_another():
    wire = Wire()
    wire.begin("r", "code", "cell")
    for text, name in (("a", "stdout"), ("b", "stdout"), ("c", "stderr"), ("d", "stdout")):
        wire.print("r", text, name)
    wire.display("r", "D")
    wire.print("r", "e")
    assert brief(outputs(reduce(wire))) == ["stdout:ab", "stderr:c", "stdout:d", "D", "stdout:e"]


def test_clear_output_at_once_and_before_the_next():
    wire = Wire()
    wire.begin("r", "", "cell")
    wire.print("r", "gone")
    wire.clear("r")
    assert outputs(reduce(wire)) == []
    wire.print("r", "frame 1")
    wire.clear("r", wait=True)
    reducer = reduce(wire)
    assert brief(outputs(reducer)) == ["stdout:frame 1"]
    assert reducer.pending_clear() == ["r"]
    wire.print("r", "frame 2")
    reducer = reduce(wire)
    assert brief(outputs(reducer)) == ["stdout:frame 2"]
    assert reducer.pending_clear() == []
    wire.clear("r", wait=True)
    wire.end("r")
    assert brief(outputs(reduce(wire))) == ["stdout:frame 2"]  # as in JupyterLab: nothing came after it


def test_a_display_is_updated_from_another_cell_and_that_counts_as_a_change_of_its_own():
    wire = Wire()
    wire.begin("r", "", "one")
    wire.display("r", "first", "d")
    wire.display("r", "alone")
    wire.display("r", "again", "d")
    wire.end("r")
    before = reduce(wire).requests()[0]
    assert brief(before.outputs) == ["again", "alone", "again"]  # a second display updates the first
    wire.begin("s", "", "two")
    wire.display("s", "second", "d", kind="update_display_data")
    wire.end("s")
    reducer = reduce(wire)
    assert brief(outputs(reducer)) == ["second", "alone", "second"]
    assert outputs(reducer, "s") == []
    assert reducer.display_ids() == {"d": [("r", 0), ("r", 2)]}
    assert [one.msg_id for one in reducer.requests(after=before.changed)] == ["r", "s"]
    assert all("transient" not in one for one in outputs(reducer))
    assert {one["output_type"] for one in outputs(reducer)} == {"display_data"}


def test_an_update_reaches_nothing_that_was_cleared():
    wire = Wire()
    wire.begin("r", "", "one")
    wire.display("r", "first", "d")
    wire.clear("r")
    wire.display("r", "lost", "d", kind="update_display_data")
    reducer = reduce(wire)
    assert outputs(reducer) == []
    assert reducer.display_ids() == {}


def test_an_output_widget_takes_outputs_from_its_cell():
    wire = Wire()
    wire.begin("r", "", "cell")
    wire.widget("r", "w")
    wire.print("r", "before")
    wire.widget("r", "w", msg_id="r")
    wire.print("r", "inside")
    wire.display("r", "shown inside")
    wire.clear("r", wait=True)
    wire.print("r", "cleared")
    wire.widget("r", "w", msg_id="")
    wire.print("r", " after")
    wire.end("r")
    reducer = reduce(wire)
    assert brief(outputs(reducer)) == ["stdout:before after"]
    assert [brief(one) for one in reducer.widgets().values()] == [["stdout:cleared"]]
    wire.widget("r", "w", outputs=[{"output_type": "stream", "name": "stdout", "text": "set"}])
    assert brief(reduce(wire).widgets()["w"]) == ["stdout:set"]


def test_the_inner_of_two_output_widgets_takes_first():
    wire = Wire()
    wire.begin("r", "", "cell")
    for comm in ("outer", "inner"):
        wire.widget("r", comm)
        wire.widget("r", comm, msg_id="r")
    wire.print("r", "in")
    wire.widget("r", "inner", msg_id="")
    wire.print("r", "out")
    found = reduce(wire).widgets()
    assert brief(found["inner"]) == ["stdout:in"]
    assert brief(found["outer"]) == ["stdout:out"]


def test_requests_say_what_became_of_them():
    wire = Wire()
    wire.run("a", "1/0", "one", "text")
    wire.abort("b", "two")
    wire.publish("status", "silent", execution_state="busy")
    wire.end("silent")
    wire.begin("c", "sleep", "three")
    found = reduce(wire).requests()
    assert [(one.msg_id, one.cell_id, one.state, one.execution_count) for one in found] == [
        ("a", "one", "done", 1),
        ("b", "two", "aborted", None),
        ("c", "three", "running", 2),
    ]
    done, aborted, running = found
    assert done.session == "page"
    assert done.source == "1/0"
    assert done.started < done.ended
    assert (aborted.started, aborted.outputs) == (None, [])
    assert (running.started is None, running.ended) == (False, None)


def test_what_ran_when_the_kernel_ended_has_died():
    wire = Wire()
    wire.begin("a", "", "one")
    wire.display("a", "shown", "d")
    reducer = reduce(wire)
    reducer.kernel_ended()
    assert reducer.requests()[0].state == "died"
    wire.publish("status", None, execution_state="starting")  # a restart says it, too
    wire.run("b", "", "two", "new")
    wire.display("b", "not the old one", "d", kind="update_display_data")
    reducer = reduce(wire)
    assert [one.state for one in reducer.requests()] == ["died", "done"]
    assert brief(outputs(reducer, "a")) == ["shown"]


def test_of_one_cells_runs_the_later_counts_even_if_the_earlier_goes_on():
    wire = Wire()
    wire.run("a", "1", "one", "old")
    wire.run("b", "2", "one", "new")
    wire.print("a", "from a thread of the old one")
    wire.run("c", "3", "", "no id")
    wire.run("d", "3", "", "no id")
    reducer = reduce(wire)
    assert [one.msg_id for one in reducer.requests()] == ["b", "c", "d"]
    assert brief(outputs(reducer, "b")) == ["stdout:new"]


def test_a_thread_prints_after_its_cell_is_through():
    wire = Wire()
    wire.run("a", "", "one", "early ")
    wire.run("b", "", "two", "other")
    number = wire.records[-1].number
    wire.print("a", "late")
    reducer = reduce(wire)
    assert brief(outputs(reducer, "a")) == ["stdout:early late"]
    assert [one.msg_id for one in reducer.requests(after=number)] == ["a"]


def test_timing_is_written_only_where_the_page_wants_it():
    wire = Wire()
    wire.run("a", "", "one", recordTiming=True)
    wire.run("b", "", "two")
    timed, untimed = reduce(wire).requests()
    assert list(timed.timing) == [
        "iopub.status.busy",
        "iopub.execute_input",
        "iopub.status.idle",
        "shell.execute_reply.started",
        "shell.execute_reply",
    ]
    assert sorted(timed.timing.values()) == list(timed.timing.values())[:1] + sorted(list(timed.timing.values())[1:])
    assert untimed.timing == {}


def test_recent_ids_are_those_of_the_last_half_minute():
    wire = Wire()
    wire.run("a", "", "one", "x")
    early = len(wire.records)
    wire.when += 29
    wire.print("a", "y")
    reducer = reduce(wire)
    assert len(reducer.recent(30, wire.when)) == early  # the request's own record is no message
    assert len(reducer.recent(5, wire.when)) == 1
    wire.when += 60
    wire.print("a", "z")
    assert len(reduce(wire).recent(30, wire.when)) == 1


def test_too_many_displays_are_folded_and_can_still_be_updated():
    wire = Wire()
    wire.begin("r", "", "cell")
    for index in range(100):
        wire.display("r", f"{index}", f"d{index}")
    wire.display("r", "changed", "d98", kind="update_display_data")
    wire.display("r", "nowhere", "d50", kind="update_display_data")
    reducer = reduce(wire, Limits(outputs=5))
    middle = "stdout:[… 90 outputs left out here …]\n"
    assert brief(outputs(reducer)) == ["0", "1", "2", "3", "4", middle, "95", "96", "97", "changed", "99"]
    assert reducer.display_ids()["d98"] == [("r", 9)]
    assert "d50" not in reducer.display_ids()


def test_big_displays_are_folded_by_their_size():
    wire = Wire()
    wire.begin("r", "", "cell")
    for index in range(20):
        wire.display("r", f"{index}" + "x" * 1000)
    found = outputs(reduce(wire, Limits(size=3000)))
    assert len(found) < 10
    assert found[0]["data"]["text/plain"].startswith("0x")
    assert found[-1]["data"]["text/plain"].startswith("19x")


def test_folding_at_any_place_changes_nothing():
    wire = torture()
    whole = reduce(wire)
    for cut in range(0, len(wire.records), 3):
        reducer = Reducer()
        for record in wire.records[:cut]:
            reducer.feed(record)
        again = Reducer.unfold(reducer.fold())
        follower = Reducer()
        follower.feed(Record(cut, 0.0, FOLDED, [reducer.fold()]))
        for record in wire.records[cut:]:
            again.feed(record)
            follower.feed(record)
        for one in (again, follower):
            assert one.requests() == whole.requests()
            assert one.display_ids() == whole.display_ids()
            assert one.pending_clear() == whole.pending_clear()
            assert one.widgets() == whole.widgets()
            assert one.recent(30, 1e3) == whole.recent(30, 1e3)
            assert one.number == whole.number


def torture() -> Wire:
    """A bit of everything."""
    wire = Wire()
    wire.run("a", "a", "one", "x\ry", "\b", "z\n", recordTiming=True)
    wire.begin("b", "b", "two")
    wire.display("b", "1", "d")
    wire.clear("b", wait=True)
    wire.display("b", "2", "d")
    wire.widget("b", "w")
    wire.widget("b", "w", msg_id="b")
    wire.print("b", "in")
    wire.widget("b", "w", msg_id="")
    wire.print("b", "err", "stderr")
    wire.end("b")
    wire.begin("c", "c", "three")
    wire.display("c", "3", "d", kind="update_display_data")
    wire.publish("error", "c", ename="E", evalue="v", traceback=["t"])
    wire.end("c")
    wire.abort("e", "four")
    wire.begin("f", "f", "one")
    wire.clear("f", wait=True)
    return wire


def test_what_is_not_understood_is_passed_over():
    wire = Wire()
    wire.run("a", "", "one", "fine")
    for parts in ([b"{", b"{}", b"{}", b"{}"], [b"[]"] * 4, [b"{}"] * 4, [], [b"\xff"] * 4):
        for kind in (MESSAGE, REQUEST, FOLDED, 99):
            wire.records.append(Record(len(wire.records) + 1, wire.when, kind, parts))
    wire.publish("stream", "a", name=None, text={})
    wire.print("a", "!")
    assert brief(outputs(reduce(wire), "a")) == ["stdout:fine!"]
    with pytest.raises(ValueError, match="version"):
        Reducer.unfold(json.dumps({"version": 99}).encode())
    with pytest.raises(ValueError, match="folded"):
        Reducer.unfold(b"[]")


def test_bytes_that_are_no_text_are_shown_as_such():
    wire = Wire()
    wire.begin("a", "", "one")
    wire.print("a", "caf\udce9")  # a byte that Python could not decode, on the wire as it was
    assert brief(outputs(reduce(wire), "a")) == ["stdout:caf\ufffd"]


def test_a_hundred_megabytes_take_seconds():
    wire = Wire()
    wire.begin("a", "", "one")
    for index in range(1000):
        wire.print("a", "".join(f"step {index:06d} {line:04d} {'.' * 85}\n" for line in range(1000)))
    assert sum(len(record.parts[-1]) for record in wire.records) > 100e6
    began = time.process_time()
    reducer = reduce(wire)
    assert time.process_time() - began < 8
    text = outputs(reducer, "a")[0]["text"]
    assert text.startswith("step 000000 0000")
    assert text.endswith(f"step 000999 0999 {'.' * 85}\n")
    assert len(text) < 450_000
