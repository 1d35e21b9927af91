from __future__ import annotations

from dataclasses import replace

import pytest

from lit_studio.base.errors import InvalidTypeError, InvalidValueError, RunNotFoundError
from lit_studio.base.runs import RunDirectory, RunStatus
from lit_studio.studio import words
from lit_studio.studio.choice import choose_run


def test_accuracies_come_first_and_tests_before_training():
    metrics = dict.fromkeys(
        ["lr", "train_loss", "val_loss", "val_acc", "test_loss", "test_acc", "val_f1", "epoch"], 0.5
    )
    assert list(words.ordered(metrics)) == [
        "test_acc",
        "val_acc",
        "val_f1",
        "test_loss",
        "val_loss",
        "train_loss",
        "lr",
    ]


def test_headlines_come_before_their_equals():
    assert list(words.ordered({"val_a_loss": 1.0, "val_b_loss": 1.0}, ["val_b_loss"])) == ["val_b_loss", "val_a_loss"]


def test_a_metric_logged_by_step_and_epoch_is_told_once():
    assert list(words.ordered({"a": 1.0, "a_step": 1.0, "a_epoch": 1.0, "b_step": 2.0})) == ["a", "b_step"]
    assert list(words.ordered({"a_step": 1.0, "a_epoch": 1.0})) == ["a_epoch"]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("val_acc", 0.9833, "98.3 %"),
        ("accuracy", 1.0, "100.0 %"),
        ("acc", 97.5, "97.5"),
        ("accumulated", 0.5, "0.5"),
        ("loss", 0.061234, "0.06123"),
        ("loss", 0.00001234, "1.23e-5"),
        ("loss", 123456.0, "1.23e5"),
        ("reward", 1500.0, "1,500"),
        ("val_acc", "nan", "nan"),
        ("loss", 0.0, "0"),
    ],
)
def test_values(name, value, text):
    assert words.metric(name, value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0304, "30 ms"),
        (1.26, "1.3 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds, text):
    assert words.duration(seconds) == text


RUNNING = RunStatus(
    state="running", step=140, planned_steps=900, epoch=3, max_epochs=20, rate=45.26, eta=12.2, active=31.0,
    headline={"train_loss": 0.25, "val_acc": 0.9}, metrics={"train_loss": 0.25, "val_acc": 0.9},
)  # fmt: skip


def test_progress_is_one_line():
    assert words.progress("version_0", RUNNING) == (
        "version_0: training running · epoch 4 of 20 · step 140 of 900 · 45.3/s · 12 s left"
        " · val_acc 90.0 % · train_loss 0.25"
    )


def test_progress_of_an_unbounded_run_and_of_a_test():
    unbounded = replace(RUNNING, max_epochs=None, planned_steps=None, eta=None, headline={})
    assert words.progress("r", unbounded) == "r: training running · step 140 · 45.3/s"
    assert words.progress("r", replace(RUNNING, stage="test", batch=3, batches=9, eta=None, headline={})) == (
        "r: test running · batch 3 of 9 · 45.3/s"
    )


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"state": "finished", "epoch": 20, "step": 900}, "r: training finished, 20 epochs, 900 steps in 31 s"),
        ({"state": "stopped"}, "r: training stopped, epoch 4 of 20, 140 steps in 31 s"),
        (
            {"state": "finished", "max_epochs": 1, "epoch": 1, "step": 1},
            "r: training finished, 1 epoch, 1 step in 31 s",
        ),
        ({"state": "finished", "stage": "test", "batch": 2}, "r: test finished, 2 batches in 31 s"),
        ({"state": "finished", "stage": "predict", "batch": 0}, "r: prediction finished in 31 s"),
        ({"state": "lost"}, "r: training lost: its process is gone, epoch 4 of 20, 140 steps in 31 s"),
    ],
)
def test_summaries(changes, first):
    assert words.summary("r", replace(RUNNING, **changes)).splitlines() == [first, "val_acc 90.0 % · train_loss 0.25"]


def test_an_error_takes_the_place_of_the_numbers():
    text = words.summary("r", replace(RUNNING, state="failed", error="ValueError:\n  no\n"))
    assert text.splitlines()[1] == "ValueError: no"


def test_choosing_a_run(tmp_path, monkeypatch):
    with pytest.raises(RunNotFoundError, match="recorded yet"):
        choose_run()
    older = RunDirectory.create(tmp_path / "lightning_logs" / "version_0")
    newer = RunDirectory.create(tmp_path / "lightning_logs" / "version_1")
    monkeypatch.chdir(tmp_path)
    assert choose_run().info.id == newer.info.id
    assert choose_run("@last").info.id == newer.info.id
    assert choose_run(older.info.id).info.id == older.info.id
    assert choose_run(older.info.id[:5].upper()).info.id == older.info.id
    assert choose_run("lightning_logs/version_0").info.id == older.info.id
    assert choose_run(older) is older
    with pytest.raises(RunNotFoundError):
        choose_run("lightning_logs/version_9")
    with pytest.raises(InvalidValueError):
        choose_run("version_nine")
    with pytest.raises(InvalidTypeError):
        choose_run(7)  # type: ignore[arg-type]


def test_a_folder_wins_over_an_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = RunDirectory.create(tmp_path / "other")
    here = RunDirectory.create(tmp_path / other.info.id)
    assert choose_run(other.info.id).info.id == here.info.id
