"""Runs to show, written through the recorder that a real Trainer uses, and a shell that notes what is shown."""

from __future__ import annotations

import contextlib
import math
import time

import pytest

from lit_studio.base.events import MetricsLogged, Points, Progressed, RunEnded, RunStarted
from lit_studio.base.runs import RunDirectory, RunRecorder


@pytest.fixture
def training(tmp_path):
    """Write a training run: ``training(steps=300, state="finished", **series)`` returns it and its recorder."""

    recorders = []

    def write(steps=300, state="finished", error="", name="version_0", epoch=50, observers=(), **series):
        run = RunDirectory.create(tmp_path / name)
        recorder, now = RunRecorder(run), time.time()
        recorders.append(recorder)
        watching = [recorder, *(make(run) for make in observers)]

        def emit(event):
            for observer in watching:
                observer.observe(event)

        emit(RunStarted(now, "train", steps // epoch, -1))
        for step in range(0, steps, 10):
            at = list(range(step, step + 10))
            points = [Points("train_loss", at, [math.exp(-s / 90) for s in at], True)]
            points += [Points(key, at, [make(s) for s in at]) for key, make in series.items()]
            if step % epoch == epoch - 10:
                points.append(Points("val_acc", at[-1:], [1 - math.exp(-step / 80)], True))
            emit(Progressed(now + step / 100, "train", step + 10, step // epoch, step % epoch + 10, epoch,
                            planned_steps=steps, active=(step + 10) / 100))  # fmt: skip
            emit(MetricsLogged(now + step / 100, step // epoch, tuple(points)))
        if state is not None:
            ended = RunEnded(now + steps / 100, state, "train", steps, steps // epoch, error, {"val_acc": 0.975})
            emit(ended)
            for observer in watching:
                observer.close()
        return run

    yield write
    for recorder in recorders:
        with contextlib.suppress(OSError):  # a test may have moved the run away
            recorder.close()


class Publisher:
    """Stands where a kernel's display publisher is, and keeps what goes to the page."""

    def __init__(self):
        self.messages = []

    def publish(self, data, metadata=None, source=None, *, transient=None, update=False, **kwargs):
        self.messages.append((data, metadata, transient["display_id"], update))


class Shell:
    def __init__(self):
        self.display_pub = Publisher()

    @property
    def outputs(self):
        """What a notebook's file would hold: the last data of each display, in the order of their first."""
        return list({display_id: data for data, _, display_id, _ in self.display_pub.messages}.values())


@pytest.fixture
def shell():
    return Shell()


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A built browser side."""
    folder = tmp_path / "static"
    folder.mkdir()
    (folder / "widget.js").write_text("export default { render() {} };")
    (folder / "view.js").write_text("export const view = 1;")
    monkeypatch.setattr("lit_studio.widgets.live.STATIC", folder)
    return folder
