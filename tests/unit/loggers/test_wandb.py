"""WandbLogger, with the real library, offline."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import struct
import sys
import threading
import time
from pathlib import Path

import numpy
import pytest
import torch

import lit_studio as L
from lit_studio.base.errors import MissingDependencyError
from lit_studio.loggers import CSVLogger, WandbLogger
from tests.unit.trainer.models import Regression, loader

needs_wandb = pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="needs wandb")
BLOCK = 32 * 1024


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].finish()


def records(folder):
    """What an offline run keeps, once wandb's own process has written it to the end."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = [one for file in Path(folder).glob("wandb/offline-run-*/run-*.wandb") for one in parse(file)]
        if any(one.WhichOneof("record_type") == "exit" for one in found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"the run in {folder} never ended")


def parse(file):
    """wandb's records, which its file of blocks holds whole or in parts."""
    from wandb.proto import wandb_internal_pb2

    raw, at, part, found = file.read_bytes(), 7, b"", []
    while at + 7 <= len(raw):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", raw[at : at + 7])
        part += raw[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            found.append(wandb_internal_pb2.Record())
            found[-1].ParseFromString(part)
            part = b""
    return found


def rows(folder):
    found = [one.history.item for one in records(folder) if one.WhichOneof("record_type") == "history"]
    return [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items} for items in found]


def config(folder):
    updates = [one for one in records(folder) if one.WhichOneof("record_type") == "config"]
    return {item.key: json.loads(item.value_json) for one in updates for item in one.config.update}


def finish():
    import wandb

    wandb.finish()


class Logging(Regression):
    def __init__(self, width=8, act=torch.nn.ReLU):
        super().__init__()
        self.save_hyperparameters()

    def training_step(self, batch, batch_idx):
        loss = self.error(batch)
        self.log("train/loss", loss)
        return loss


def test_without_wandb_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"lit-studio\[wandb\]"):
        WandbLogger()


def test_artifacts_need_a_connection():
    with pytest.raises(L.MisconfigurationException, match="offline"):
        WandbLogger(offline=True, log_model="all")


def test_where_it_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "from-environment")
    monkeypatch.setenv("WANDB_DIR", "elsewhere")
    assert (WandbLogger().name, WandbLogger().save_dir) == ("from-environment", "elsewhere")
    given = WandbLogger(name="n", project="p", save_dir=tmp_path, version="abc")
    assert (given.name, given.save_dir, given.version, given.log_dir) == ("p", str(tmp_path), "abc", None)
    assert WandbLogger(dir="d", id="x").save_dir == "d"
    first, second = WandbLogger(), WandbLogger()
    assert first.version == first.version != second.version
    monkeypatch.setenv("WANDB_RUN_ID", "fixed")
    assert WandbLogger().version == "fixed"


def test_other_ranks_than_0_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    logger = WandbLogger(save_dir=tmp_path)
    logger.log_metrics({"a": 1.0}, step=0)
    logger.log_image("x", [numpy.zeros((2, 2))])
    logger.experiment.log({"a": 1})
    logger.finalize("success")
    assert logger.version is None
    assert list(tmp_path.iterdir()) == []


@needs_wandb
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestRuns:
    def test_a_fit_s_values_and_hyper_parameters_lie_in_the_offline_run(self, tmp_path):
        logger = WandbLogger(name="try", save_dir=tmp_path, project="p", tags=["t"])
        trainer = L.Trainer(
            max_epochs=2, logger=[logger, CSVLogger(tmp_path)], log_every_n_steps=1, enable_progress_bar=False,
            enable_model_summary=False, accelerator="cpu",
        )  # fmt: skip
        trainer.fit(Logging(), loader())
        finish()
        found = [row for row in rows(tmp_path) if "train/loss" in row]
        assert [row["trainer/global_step"] for row in found] == list(range(trainer.global_step))
        assert all(row["train/loss"] > 0 and row["_timestamp"] > 1e9 for row in found)
        assert config(tmp_path)["width"] == 8
        assert config(tmp_path)["act"] == "torch.nn.modules.activation.ReLU"
        assert Path(trainer.checkpoint_callback.dirpath) == tmp_path / "p" / logger.version / "checkpoints"
        (run,) = [one.run for one in records(tmp_path) if one.WhichOneof("record_type") == "run"]
        assert (run.run_id, run.project, run.display_name, list(run.tags)) == (logger.version, "p", "try", ["t"])

    def test_the_run_begins_on_the_logger_s_own_thread(self, tmp_path, monkeypatch):
        import wandb

        began, true = [], wandb.init
        monkeypatch.setattr(wandb, "init", lambda **given: began.append(threading.current_thread()) or true(**given))
        logger = WandbLogger(save_dir=tmp_path)
        logger.log_metrics({"a": 1.0}, step=0)
        logger.finalize("success")
        assert began[0] is not threading.main_thread()
        assert logger.experiment.id == logger.version == wandb.run.id

    def test_media_tables_prefix_and_tensors(self, tmp_path, monkeypatch):
        import wandb

        logger = WandbLogger(save_dir=tmp_path, prefix="p")
        weight = torch.tensor([1.5])
        logger.log_metrics({"w": weight})
        weight.zero_()  # what was logged stays
        logger.log_table("table", columns=["a", "b"], data=[[1, "x"]], step=1)
        logger.log_text("text", columns=["a"], data=[["x"]], step=1)
        logger.log_image("image", [numpy.zeros((4, 4, 3), "uint8")] * 2, step=2, caption=["one", "two"])
        Path("a.mp4").write_bytes(bytes(200))
        logger.log_video("video", ["a.mp4"], step=3, caption=["dark"])
        made = []  # sound needs the package soundfile
        monkeypatch.setattr(wandb, "Audio", lambda sound, **more: made.append((sound, more)) or wandb.Html("sound"))
        logger.log_audio("audio", ["a.wav", "b.wav"], step=4, sample_rate=[8000, 9000])
        assert made == [("a.wav", {"sample_rate": 8000}), ("b.wav", {"sample_rate": 9000})]
        with pytest.raises(TypeError, match='list as "images"'):
            logger.log_image("image", numpy.zeros((4, 4)))
        with pytest.raises(ValueError, match="1 items"):
            logger.log_video("video", ["a.mp4"], caption=[])
        logger.finalize("success")
        finish()
        found = rows(tmp_path)
        assert found[0]["p-w"] == 1.5
        kinds = {name: row[name] for row in found for name in row if name.endswith("/_type")}
        assert kinds == {
            "p-table/_type": "table-file",
            "p-text/_type": "table-file",
            "p-image/_type": "images/separated",
            "p-video/_type": "videos",
            "p-audio/_type": "html",
        }
        assert next(row["p-image/captions"] for row in found if "p-image/captions" in row) == ["one", "two"]

    def test_gradients_are_watched(self, tmp_path):
        logger, model = WandbLogger(save_dir=tmp_path), torch.nn.Linear(2, 1)
        logger.watch(model, log_freq=1)
        model(torch.ones(1, 2)).sum().backward()
        logger.log_metrics({"a": 1.0}, step=0)
        logger.unwatch(model)
        logger.finalize("success")
        finish()
        assert any(name.startswith("gradients/weight") for row in rows(tmp_path) for name in row)

    def test_a_run_of_the_user_s_is_written_to(self, tmp_path):
        import wandb

        mine = wandb.init(project="mine", dir=tmp_path)
        logger = WandbLogger(save_dir=tmp_path / "never")
        assert logger.version == mine.id
        with pytest.warns(UserWarning, match="already in progress"):
            assert logger.experiment is mine
        given = WandbLogger(experiment=mine)
        given.log_metrics({"a": 1.0}, step=3)
        given.finalize("success")
        finish()
        assert [row["a"] for row in rows(tmp_path)] == [1.0]
        assert not (tmp_path / "never").exists()

    def test_it_is_pickled_without_the_run(self, tmp_path):
        logger = WandbLogger(save_dir=tmp_path)
        logger.log_metrics({"a": 1.0}, step=0)
        twin = pickle.loads(pickle.dumps(logger))
        assert twin._experiment is None
        assert twin.version == logger.version
        logger.finalize("success")

    def test_checkpoints_become_artifacts(self, tmp_path):
        logger = WandbLogger(save_dir=tmp_path, log_model="all", checkpoint_name="net")
        trainer = L.Trainer(
            max_epochs=3, logger=logger, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu"
        )
        trainer.fit(Logging(), loader())  # keeps one checkpoint: the earlier ones are gone when they are uploaded
        finish()
        requests = [one.request.log_artifact for one in records(tmp_path) if one.WhichOneof("record_type") == "request"]
        artifacts = [one.artifact for one in records(tmp_path) if one.WhichOneof("record_type") == "artifact"]
        artifacts += [one.artifact for one in requests if one.artifact.name]
        assert {one.name for one in artifacts} == {"net"}
        assert len(artifacts) == 3
        assert all("latest" in one.aliases for one in artifacts)
        assert sorted(artifacts[-1].aliases) == ["best", "latest"]
        assert json.loads(artifacts[-1].metadata)["ModelCheckpoint"]["save_top_k"] == 1
        assert not list(Path(trainer.checkpoint_callback.dirpath).glob(".upload-*"))

    def test_disabled_means_nothing_is_written(self, tmp_path, monkeypatch):
        monkeypatch.setenv("WANDB_MODE", "disabled")
        logger = WandbLogger(save_dir=tmp_path)
        logger.log_metrics({"a": 1.0}, step=0)
        logger.log_hyperparams({"a": 1})
        logger.finalize("success")
        assert not (tmp_path / "wandb").exists()
