from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from IPython.core.events import EventManager, available_events
from IPython.core.interactiveshell import ExecutionResult

from lit_studio.base.errors import InvalidValueError
from lit_studio.base.events import Observer, Paused, Progressed, RunEnded, RunStarted
from lit_studio.base.runs import RunDirectory, RunRecorder
from lit_studio.widgets.bundle import RUN_TYPE, VIEW_TYPE
from lit_studio.widgets.observer import Display, LiveDashboard, PlainLine, notebook_observer


def test_a_script_gets_nothing_and_pays_nothing():
    code = (
        "import sys; from lit_studio.widgets.observer import notebook_observer; "
        "assert notebook_observer(None) is None; "
        "print([m for m in ('numpy', 'IPython', 'ipykernel', 'anywidget', 'ipywidgets', 'torch') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_ipython_in_a_terminal_is_no_notebook():
    code = (
        "import IPython, ipykernel.zmqshell; from IPython.core.interactiveshell import InteractiveShell; "
        "InteractiveShell.instance(); "
        "from lit_studio.widgets.observer import notebook_observer; assert notebook_observer(None) is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def in_kernel(monkeypatch, shell):
    monkeypatch.setattr("lit_studio.widgets.observer._kernel_shell", lambda: shell)
    return shell


@pytest.mark.parametrize(("mode", "kind"), [(None, LiveDashboard), ("live", LiveDashboard), ("plain", PlainLine)])
def test_the_mode_chooses(in_kernel, training, monkeypatch, mode, kind):
    if mode:
        monkeypatch.setenv("LIT_STUDIO_MODE", mode)
    observer = notebook_observer(training())
    assert type(observer) is kind
    assert isinstance(observer, Observer)
    assert observer.displays


def test_mode_off_and_a_wrong_one(in_kernel, training, monkeypatch):
    monkeypatch.setenv("LIT_STUDIO_MODE", "off")
    assert notebook_observer(training()) is None
    monkeypatch.setenv("LIT_STUDIO_MODE", "loud")
    with pytest.raises(InvalidValueError, match="live or plain or off"):
        notebook_observer(training())


def live(shell):
    return lambda run: LiveDashboard(run, Display(shell))


def test_a_live_run_sends_two_messages_and_leaves_a_picture(training, shell, built):
    run = training(steps=1000, observers=[live(shell)])
    (first, _, display_id, update), (last, metadata, same_id, updated) = shell.display_pub.messages
    assert (update, updated) == (False, True)
    assert display_id == same_id
    assert set(first) == {RUN_TYPE, VIEW_TYPE, "text/plain"}
    assert set(last) == {RUN_TYPE, "image/png", "text/plain"}
    assert last[RUN_TYPE]["run"] == run.info.id
    assert last[RUN_TYPE]["view"] == "training"
    assert metadata["image/png"]["width"] > 0
    assert last["text/plain"].splitlines() == [
        "version_0: training finished, 20 epochs, 1,000 steps in 10 s",
        "val_acc 97.5 % · train_loss 1.51e-5",
    ]
    assert len(json.dumps(last)) < 50_000


def test_the_widget_is_closed_when_the_run_has_ended(training, shell, built, monkeypatch):
    from lit_studio.widgets.live import DashboardWidget

    closed = []
    close = DashboardWidget.close

    def noting_close(widget):
        if widget.comm is not None:  # the garbage collector closes a second time
            closed.append(widget.model_id)
        close(widget)

    monkeypatch.setattr(DashboardWidget, "close", noting_close)
    training(observers=[live(shell)])
    first = shell.display_pub.messages[0][0]
    assert first[VIEW_TYPE]["model_id"] in closed


def test_without_a_build_the_run_is_shown_all_the_same(training, shell, tmp_path, monkeypatch):
    monkeypatch.setattr("lit_studio.widgets.live.STATIC", tmp_path / "nowhere")
    training(observers=[live(shell)])
    first, last = (message[0] for message in shell.display_pub.messages)
    assert VIEW_TYPE not in first
    assert RUN_TYPE in first
    assert "make setup" in first["text/plain"]
    assert "image/png" in last


def test_a_failed_run_ends_with_its_error(training, shell, built):
    training(state="failed", error="ValueError: no", observers=[live(shell)])
    assert shell.outputs[0]["text/plain"].splitlines()[1] == "ValueError: no"


def test_closing_leaves_the_picture_even_without_an_end(training, shell, built):
    observers = []
    training(state=None, observers=[lambda run: observers.append(LiveDashboard(run, Display(shell))) or observers[0]])
    assert "image/png" not in shell.outputs[0]
    observers[0].close()
    observers[0].close()
    assert "image/png" in shell.outputs[0]
    assert len(shell.display_pub.messages) == 2


def test_a_test_after_fit_gets_an_output_of_its_own(training, shell, built):
    run = training(observers=[live(shell)])
    recorder, observer = RunRecorder(run), LiveDashboard(run, Display(shell))
    for event in (
        RunStarted(time.time(), "test", None, -1),
        RunEnded(time.time(), "finished", "test", 300, 6, "", {"test_acc": 0.983}),
    ):
        recorder.observe(event)
        observer.observe(event)
    recorder.close()
    observer.close()
    assert [output[RUN_TYPE]["view"] for output in shell.outputs] == ["training", "evaluation"]
    assert shell.outputs[1]["text/plain"].splitlines()[1] == "test_acc 98.3 %"


def test_one_observer_serves_several_stages(training, shell, built):
    run = training(state=None)
    observer = LiveDashboard(run, Display(shell))
    for stage in ("train", "test"):
        observer.observe(RunStarted(time.time(), stage, 1, -1))
        observer.observe(RunEnded(time.time(), "finished", stage, 1, 1))
    observer.close()
    assert [output[RUN_TYPE]["view"] for output in shell.outputs] == ["training", "evaluation"]


def test_the_directory_is_told_as_seen_from_the_notebook(training, shell, built, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training(observers=[live(shell)])
    assert shell.outputs[0][RUN_TYPE]["directory"] == "version_0"
    monkeypatch.chdir("/")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    training(observers=[live(shell)])
    assert shell.outputs[1][RUN_TYPE]["directory"] == str(tmp_path.resolve() / "version_0")


def run_plainly(tmp_path, shell, step_seconds, steps):
    run = RunDirectory.create(tmp_path / "version_0")
    recorder, line, now = RunRecorder(run), PlainLine(run, Display(shell)), 1000.0

    def emit(event):
        recorder.observe(event)
        line.observe(event)

    emit(RunStarted(now, "train", 1, -1))
    for step in range(steps):
        now += step_seconds
        emit(Progressed(now, "train", step + 1, 0, step + 1, steps, planned_steps=steps, active=now - 1000))
    emit(RunEnded(now, "finished", "train", steps, 1, "", {"loss": 0.5}))
    recorder.close()
    line.close()
    return shell.display_pub.messages


@pytest.mark.parametrize("step_seconds", [0.001, 0.01, 0.1, 0.5])
def test_the_plain_line_is_quiet(tmp_path, shell, step_seconds):
    messages = run_plainly(tmp_path, shell, step_seconds, 1000)
    assert len({message[2] for message in messages}) == 1
    assert all(set(message[0]) == {"text/plain"} for message in messages)
    assert len(messages) <= min(70, 2 + step_seconds * 1000)
    assert messages[-1][0]["text/plain"].splitlines()[1] == "loss 0.5"


def test_the_plain_line_says_where_the_run_stands(tmp_path, shell):
    messages = run_plainly(tmp_path, shell, 0.1, 1000)
    middle = messages[len(messages) // 2][0]["text/plain"]
    assert middle.startswith("version_0: training running · epoch 1 of 1 · step ")
    assert " of 1,000 · " in middle
    assert "left" in middle
    assert "\n" not in middle


def test_the_plain_line_tells_of_a_pause(tmp_path, shell):
    run = RunDirectory.create(tmp_path / "version_0")
    recorder, line = RunRecorder(run), PlainLine(run, Display(shell))
    for event in (RunStarted(1000.0, "train", 1, -1), Paused(1000.2, 3, 0)):
        recorder.observe(event)
        line.observe(event)
    recorder.close()
    assert "paused" in shell.outputs[0]["text/plain"]


@pytest.mark.parametrize("kind", [LiveDashboard, PlainLine])
@pytest.mark.parametrize("error", [None, ValueError("in the cell")])
def test_who_does_not_say_when_a_run_is_over_hears_of_the_cells_end(training, shell, built, kind, error):
    shell.events = EventManager(shell, available_events)
    heard = []

    def made(run):
        observer = kind(run, Display(shell))
        observer.at_cell_end = heard.append
        return observer

    training(observers=[made])
    assert heard == []
    for ended_by in (error, KeyboardInterrupt()):
        result = ExecutionResult(None)
        result.error_in_exec = ended_by
        shell.events.trigger("post_run_cell", result)
    assert heard == [error]  # once, at the end of the cell that was running
