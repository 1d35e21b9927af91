from __future__ import annotations

import json
import struct

import pytest

from lit_studio.base.errors import MissingBuildError, RunNotFoundError
from lit_studio.base.runs import Inbox
from lit_studio.media.board import Board
from lit_studio.widgets import dashboard
from lit_studio.widgets.bundle import RUN_TYPE, VIEW_TYPE
from lit_studio.widgets.live import DashboardWidget
from lit_studio.widgets.protocol import Conversation


@pytest.fixture
def talk(training, built):
    return Conversation(training(state=None), built / "view.js")


def header(packet: bytes) -> dict:
    assert packet[:4] == b"LSC1"
    (length,) = struct.unpack_from("<I", packet, 4)
    return json.loads(packet[8 : 8 + length])


def test_hello_and_view(talk):
    assert talk.answer({"t": "hello", "id": "a"}) == ({"t": "ready"}, [])
    assert talk.answer({"t": "view"}) == ({"t": "view"}, [b"export const view = 1;"])


def test_an_ask_is_answered_by_a_packet_with_its_number(talk):
    message, (packet,) = talk.answer({"t": "ask", "seq": 7, "query": {"width": 64, "axis": "step"}})
    assert message == {"t": "packet", "seq": 7}
    told = header(packet)
    assert [series["name"] for series in told["series"]] == ["train_loss", "val_acc"]
    assert told["series"][0]["total"] == 300


def test_an_ask_without_a_query_has_defaults(talk):
    message, _ = talk.answer({"t": "ask", "seq": 1})
    assert message["t"] == "packet"


@pytest.mark.parametrize("query", [{"width": 3}, {"axis": "mood"}, {"nonsense": 1}, "all", {"width": "a"}, {"have": 3}])
def test_a_bad_question_gets_an_error_with_its_number(talk, query):
    message, buffers = talk.answer({"t": "ask", "seq": 3, "query": query})
    assert (message["t"], message["seq"], buffers) == ("error", 3, [])
    assert message["message"]


def test_pictures_and_tables_come_over_the_same_channel(training, built):
    run = training(state=None)
    Board(run).text("note", "hello", step=3)
    talk = Conversation(run, built / "view.js")
    message, buffers = talk.answer({"t": "media", "seq": 1})
    assert (message["t"], message["seq"], buffers) == ("media", 1, [])
    [entry] = message["media"]
    assert (entry["name"], entry["kind"], entry["items"][0]["step"]) == ("note", "text", 3)
    message, (data,) = talk.answer({"t": "item", "seq": 2, "item": entry["items"][0]["id"]})
    assert (message, json.loads(data)) == ({"t": "item", "seq": 2, "type": "application/json"}, {"text": "hello"})
    assert talk.answer({"t": "item", "seq": 3, "item": "../run.json"})[0]["t"] == "error"
    told = header(talk.answer({"t": "ask", "seq": 4})[1][0])
    assert told["media"] == 1


def test_a_command_lands_in_the_inbox(training, built):
    run = training(state=None)
    inbox = Inbox(run.inbox)
    talk = Conversation(run, built / "view.js")
    sent = {"t": "command", "seq": 4, "name": "set_lr", "arguments": {"value": 0.5}}
    assert talk.answer(sent) == ({"t": "done", "seq": 4}, [])
    assert talk.answer({"t": "command", "seq": 5, "name": "pause"}) == ({"t": "done", "seq": 5}, [])
    first, second = inbox.poll()
    assert (first.name, first.arguments, second.name) == ("set_lr", {"value": 0.5}, "pause")


@pytest.mark.parametrize(
    ("name", "arguments"), [("explode", {}), (None, {}), ("set_lr", {"value": -1}), ("set_lr", [1])]
)
def test_a_bad_command_is_refused(talk, name, arguments):
    message, _ = talk.answer({"t": "command", "seq": 1, "name": name, "arguments": arguments})
    assert message["t"] == "error"


def test_a_run_that_has_ended_takes_no_commands(training, built):
    message, _ = Conversation(training(), built / "view.js").answer({"t": "command", "seq": 1, "name": "stop"})
    assert message["t"] == "error"
    assert "finished" in message["message"]


@pytest.mark.parametrize("message", [None, "hello", {}, {"t": "other"}, {"method": "update"}])
def test_what_is_not_of_this_conversation_is_left_alone(talk, message):
    assert talk.answer(message) is None


def test_a_run_that_is_gone_is_an_error_and_not_a_crash(training, built, tmp_path):
    run = training(state=None)
    talk = Conversation(run, built / "view.js")
    run.path.rename(tmp_path / "moved")
    message, _ = talk.answer({"t": "ask", "seq": 1})
    assert message["t"] == "error"


def test_the_widget_answers_what_it_is_asked_and_nothing_else(training, built, monkeypatch):
    widget = DashboardWidget(training(state=None))
    sent = []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: sent.append(content))
    widget._handle_custom_msg({"t": "hello", "id": "x"}, [])
    widget._handle_custom_msg({"t": "noise"}, [])
    assert sent == [{"t": "ready"}]
    state = widget.get_state()
    assert state["view"] == "training"
    assert state["_esm"].startswith("export default")
    widget.close()


def test_replies_go_to_the_shell_that_asked(training, built):
    from ipykernel.comm.comm import BaseComm

    assert hasattr(BaseComm, "_reply_subshell_for"), "ipykernel has changed how it routes replies: look again"
    comm = BaseComm(target_name="jupyter.widget")
    comm._reply_subshell_id = None
    from lit_studio.widgets.live import _answer_on_the_asking_shell

    assert comm._reply_subshell_for({}, "asking") is None
    _answer_on_the_asking_shell(comm)
    assert comm._reply_subshell_for({}, "asking") == "asking"


def test_a_missing_build_says_how_to_make_it(training, tmp_path, monkeypatch):
    monkeypatch.setattr("lit_studio.widgets.live.STATIC", tmp_path / "nowhere")
    with pytest.raises(MissingBuildError, match="make setup"):
        DashboardWidget(training())


def test_dashboard_of_a_finished_run(training):
    run = training()
    shown = dashboard(run.info.id[:4])
    bundle, metadata = shown._repr_mimebundle_()
    assert set(bundle) == {RUN_TYPE, "image/png", "text/plain"}
    assert repr(shown) == bundle["text/plain"]
    assert list(shown.metrics) == ["val_acc", "train_loss"]
    assert shown.names == ["train_loss", "val_acc"]
    assert shown.values("train_loss")[1].shape == (300,)
    assert "width" in metadata["image/png"]


def test_dashboard_of_a_run_that_goes_on(training, built):
    training(state=None)
    shown = dashboard()
    bundle = shown._repr_mimebundle_()
    assert set(bundle) == {RUN_TYPE, VIEW_TYPE, "text/plain"}
    assert shown._repr_mimebundle_()[VIEW_TYPE] == bundle[VIEW_TYPE], "one widget, however often it is shown"


def test_dashboard_by_directory_and_of_nothing(training, tmp_path):
    run = training()
    assert dashboard(str(run.path)).id == run.info.id
    assert dashboard(run.path).id == run.info.id
    with pytest.raises(RunNotFoundError):
        dashboard(tmp_path)
