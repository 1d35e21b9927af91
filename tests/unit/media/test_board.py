"""The board: what a program shows lies in the run's directory, within limits, and never ends a fit."""

from __future__ import annotations

import io
import json
import os
import shutil
import threading
import warnings

import matplotlib
import numpy as np
import pytest
from PIL import Image

import lit_studio as L
from lit_studio.base.errors import InvalidTypeError, InvalidValueError, RunNotFoundError, RunRecordError
from lit_studio.base.events import WarningRaised
from lit_studio.base.runs import RunDirectory
from lit_studio.base.runs import directory as runs
from lit_studio.media.board import Board
from lit_studio.tracking import RunReader
from lit_studio.tracking.media import MediaIndex
from tests.unit.trainer.models import Regression, Validated, loader, trainer
from tests.unit.trainer.test_log import Collector

matplotlib.use("Agg")


@pytest.fixture
def board(tmp_path, monkeypatch):
    """Of a run that nobody trains."""
    monkeypatch.setattr(runs, "_current", [])
    return Board(RunDirectory.create(tmp_path / "run"))


def show_thrice(show):
    for step in range(3):
        show(step)


def index(board):
    return MediaIndex(board.run)


def listed(board):
    return {(entry["name"], entry["kind"]): entry for entry in index(board).listing()}


def content(board, name):
    [item] = [entry["items"][-1] for (known, _), entry in listed(board).items() if known == name]
    kind, data = index(board).read(item["id"])
    return json.loads(data) if kind == "application/json" else Image.open(io.BytesIO(data))


def test_everything_shown_is_found_again(board):
    board.image("image", np.zeros((3, 8, 6)), step=3, caption="black")
    board.histogram("weights", [1.0, 2.0])
    board.confusion("mistakes", ([0, 1], [1, 1]), labels=["a", "b"])
    board.table("rows", [{"x": 1}])
    board.text("note", "hello")
    assert set(listed(board)) == {
        ("image", "image"),
        ("weights", "histogram"),
        ("mistakes", "confusion"),
        ("rows", "table"),
        ("note", "text"),
    }
    [item] = listed(board)["image", "image"]["items"]
    assert (item["step"], item["caption"], item["width"], item["height"]) == (3, "black", 6, 8)
    assert content(board, "image").size == (6, 8)
    assert content(board, "weights")["n"] == 2
    assert content(board, "mistakes")["labels"] == ["a", "b"]
    assert content(board, "note") == {"text": "hello"}
    assert RunReader(board.run).media.count() == 5


def test_a_figure_of_matplotlib_becomes_a_picture_and_stays_open(board):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4, 3))
    axes.plot([1, 2])
    board.figure("plot", figure)
    assert content(board, "plot").size == (480, 360)
    assert plt.fignum_exists(figure.number)
    plt.close(figure)
    with pytest.raises(InvalidTypeError, match="no figure"):
        board.figure("plot", axes)


def test_a_figure_of_plotly_is_kept_as_it_is(board):
    plotly = pytest.importorskip("plotly.graph_objects")
    board.figure("bars", plotly.Figure(plotly.Bar(x=[1, 2], y=[3, float("nan")])))
    assert content(board, "bars")["data"][0]["type"] == "bar"


def test_items_come_by_step_whatever_their_order(board):
    for step in (5, 1, 3, 3):
        board.text("note", str(step), step=step)
    assert [item["step"] for item in listed(board)["note", "text"]["items"]] == [1, 3, 3, 5]


def test_what_is_too_large_is_left_out_and_told_once(board, monkeypatch):
    monkeypatch.setenv("LIT_STUDIO_MEDIA_ITEM_MB", "0.01")
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
    with pytest.warns(UserWarning, match=r"'noise' takes 0\.0 MB and is left out.*media\.item_mb") as told:
        show_thrice(lambda _: board.image("noise", noise))
    assert len(told) == 1
    board.text("small", "fits")
    assert set(listed(board)) == {("small", "text")}


def test_a_full_run_takes_no_more_and_says_so_once(board, monkeypatch):
    monkeypatch.setenv("LIT_STUDIO_MEDIA_RUN_MB", "0.001")
    with pytest.warns(UserWarning, match=r"no more are stored \(setting media\.run_mb") as told:
        show_thrice(lambda step: board.text("note", "x" * 400, step=step))
    assert len(told) == 1
    assert len(listed(board)["note", "text"]["items"]) == 2
    with pytest.warns(UserWarning, match="no more"):  # another process counts what is there
        Board(board.run).text("note", "x" * 1000)


def test_a_picture_is_made_smaller_with_a_word(board):
    with pytest.warns(UserWarning, match="4000 × 10 pixels and is stored with 1333 × 3"):
        board.image("wide", np.zeros((10, 4000), np.uint8))


@pytest.mark.parametrize("name", ["", "  ", None, 5, "x" * 301])
def test_a_name_that_is_none_is_refused(board, name):
    with pytest.raises((InvalidTypeError, InvalidValueError)):
        board.text(name, "text")


def test_names_are_any_text_and_no_path(board):
    for name in ("a/b", "../../etc/passwd", "🦉", "x" * 300, "<b>"):
        board.text(name, name)
    assert {name for name, _ in listed(board)} == {"a/b", "../../etc/passwd", "🦉", "x" * 300, "<b>"}
    files = {path.name for path in board.run.media_folder.iterdir()}
    assert len(files) == 5
    assert all(len(name) == 17 for name in files)


def test_a_directory_that_is_gone_does_not_end_anything(board):
    shutil.rmtree(board.run.path)
    with pytest.warns(UserWarning, match="could not be stored, and training goes on") as told:
        show_thrice(lambda _: board.text("note", "lost"))
    assert len(told) == 1


def test_threads_may_show_at_once(board):
    def show(number):
        for step in range(20):
            board.text(f"note {number}", str(step), step=step)

    threads = [threading.Thread(target=show, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(entry["items"]) for entry in listed(board).values()) == 80


# What a stranger may have put there -----------------------------------------------------------------------------


def only_item(board):
    [entry] = index(board).listing()
    return entry["items"][0]["id"], next(board.run.media_folder.iterdir())


@pytest.mark.parametrize("damage", ["missing", "link", "longer", "flipped"])
def test_a_file_that_is_not_the_one_stored_is_not_handed_out(board, damage, tmp_path):
    board.text("note", "hello")
    item, path = only_item(board)
    data = path.read_bytes()
    path.unlink()
    if damage == "link":
        (tmp_path / "elsewhere").write_bytes(data)
        path.symlink_to(tmp_path / "elsewhere")
    elif damage == "longer":
        path.write_bytes(data + b" ")
    elif damage == "flipped":
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(RunRecordError):
        index(board).read(item)


def test_html_under_the_name_of_a_picture_is_not_handed_out(board):
    from lit_studio.base.runs.media import MediaItem, MediaWriter

    page = b"<script>alert(1)</script>"
    import zlib

    for kind in ("image/png", "application/json"):
        item = MediaItem("x", "image", kind, 0, 0, 0.0, len(page), zlib.crc32(page))
        MediaWriter(board.run).add(item, page)
        with pytest.raises(RunRecordError, match="is no"):
            index(board).read(item.id)


@pytest.mark.parametrize("item", ["", "../../../etc", "0123456789ab", "0123456789AB", "0" * 13])
def test_an_item_that_is_not_listed_is_refused(board, item):
    board.text("note", "hello")
    with pytest.raises(InvalidValueError):
        index(board).read(item)


def test_a_damaged_list_shows_what_comes_before(board):
    for number in range(5):
        board.text("note", "x", step=number)
    log = board.run.media_log
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size - 10)
    assert len(listed(board)["note", "text"]["items"]) == 4
    board.text("note", "again", step=9)  # the torn tail is cut off
    assert [item["step"] for item in listed(board)["note", "text"]["items"]] == [0, 1, 2, 3, 9]


# In a fit -------------------------------------------------------------------------------------------------------


class Shows(L.Callback):
    def __init__(self, show):
        self.show, self.error = show, None

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.show(trainer, batch_idx)


def test_a_callback_shows_at_its_step(tmp_path):
    def show(fit, batch_idx):
        L.studio.dashboard().text("by studio", str(batch_idx))
        fit.media.text("by trainer", str(batch_idx))

    fit = trainer(tmp_path, logger=True, callbacks=Shows(show))
    fit.fit(Regression(), loader())
    shown = {entry["name"]: entry["items"] for entry in RunReader(fit.observation.run).media.listing()}
    assert [item["step"] for item in shown["by studio"]] == [1, 2, 3, 4]
    assert [item["step"] for item in shown["by trainer"]] == [1, 2, 3, 4]
    L.studio.dashboard().text("afterwards", "in the next cell")
    assert RunReader(fit.observation.run).media.listing()[-1]["items"][0]["step"] == 4


def test_a_run_that_keeps_nothing_shows_nothing():
    fit = L.Trainer(barebones=True, max_epochs=1, accelerator="cpu", callbacks=[])
    module = Regression()
    module.on_train_batch_end = lambda *_: L.studio.dashboard().text("note", "x")
    fit.fit(module, loader())
    assert repr(L.studio.dashboard()) == "Board that stores nothing"
    fit.media.image("any", "no image: nobody looks")


def test_a_disk_that_refuses_is_told_once_by_an_event(tmp_path):
    seen = Collector()

    def show(fit, batch_idx):
        folder = fit.observation.run.media_folder
        if not folder.exists():
            folder.write_text("a file where the folder should be")
        fit.media.text("note", "x")

    fit = trainer(tmp_path, logger=True, callbacks=Shows(show), observers=[seen])
    with pytest.warns(UserWarning, match="could not be stored"):
        fit.fit(Regression(), loader())
    told = [event for event in seen.events if isinstance(event, WarningRaised)]
    assert [event.kind for event in told] == ["media-left-out"]
    assert fit.state.finished


def test_without_any_run_that_is_said(monkeypatch):
    monkeypatch.setattr(runs, "_current", [])
    with pytest.raises(RunNotFoundError):
        L.studio.dashboard()


def test_a_run_is_chosen_by_its_directory(tmp_path):
    fit = trainer(tmp_path, logger=True)
    fit.fit(Regression(), loader())
    trainer(tmp_path, logger=True).fit(Regression(), loader())
    assert L.studio.dashboard(fit.log_dir).run.path == fit.observation.run.path


def test_a_trainer_is_not_kept_alive_by_what_it_showed(tmp_path):
    import gc
    import weakref

    fit = trainer(tmp_path, logger=True, callbacks=Shows(lambda fit, _: fit.media.text("note", "x")))
    fit.fit(Regression(), loader())
    gone = weakref.ref(fit)
    del fit
    gc.collect()
    assert gone() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        L.studio.dashboard().text("note", "still there")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_directory_is_told(board):
    board.run.record.chmod(0o500)
    with pytest.warns(UserWarning, match="could not be stored"):
        board.text("note", "x")


def test_samples_are_shown_at_each_validation(tmp_path):
    class Classifier(Validated):
        def __init__(self):
            super().__init__()
            self.head = __import__("torch").nn.Linear(4, 3)

        def forward(self, x):
            return self.head(x)

        def error(self, batch):
            return self(batch[0]).square().mean()

    samples = L.callbacks.SamplePredictions(3, labels=["a", "b", "c"])
    fit = trainer(tmp_path, logger=True, callbacks=samples, max_epochs=3, num_sanity_val_steps=2)
    fit.fit(Classifier(), loader(), loader(batch_size=4))
    board = L.studio.dashboard()
    [items] = [entry["items"] for entry in index(board).listing() if entry["name"] == "samples/table"]
    assert [item["step"] for item in items] == [4, 8, 12]
    shown = content(board, "samples/table")
    assert shown["columns"] == ["sample", "target", "guess", "confidence", "right"]
    assert len(shown["rows"]) == 3
    assert {row[2] for row in shown["rows"]} <= {"a", "b", "c"}


def test_samples_with_images_make_a_picture_and_own_words_are_taken(tmp_path):
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    class Pictures(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(36, 2)

        def forward(self, x):
            return self.layer(x.flatten(1))

        def training_step(self, batch, batch_idx):
            return self(batch[0]).square().mean()

        validation_step = training_step

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    data = DataLoader(TensorDataset(torch.rand(8, 1, 6, 6), torch.arange(8) % 2), batch_size=8)
    plain = L.callbacks.SamplePredictions(4, every_n=2)
    own = L.callbacks.SamplePredictions(4, name="own", describe=lambda module, batch, n: [{"n": n}])
    own.state_key_of = None
    fit = trainer(tmp_path, logger=True, callbacks=[plain, own], max_epochs=3)
    fit.fit(Pictures(), data, data)
    board = L.studio.dashboard()
    assert [item["step"] for item in listed(board)["samples", "image"]["items"]] == [1, 3]
    assert content(board, "samples").size == (14, 14)
    assert content(board, "own/table")["rows"] == [[4]]


def test_samples_that_can_not_be_shown_are_told_in_the_sanity_check():
    class Wordy(Validated):
        def forward(self, x):
            return {"scores": self.layer(x)}

        def error(self, batch):
            return self.layer(batch[0]).square().mean()

    fit = trainer(callbacks=L.callbacks.SamplePredictions(), num_sanity_val_steps=1)
    with pytest.raises(InvalidTypeError, match="needs a tensor from the module"):
        fit.fit(Wordy(), loader(), loader())
    assert fit.global_step == 0
    with pytest.raises(InvalidValueError):
        L.callbacks.SamplePredictions(65)
    with pytest.raises(InvalidValueError):
        L.callbacks.SamplePredictions(every_n=0)
