"""The base, the dummy, and TensorBoard's logger."""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path

import pytest
import torch
import yaml

from lit_studio.base.errors import MissingDependencyError
from lit_studio.loggers import DummyLogger, Logger, TensorBoardLogger

needs_tensorboard = pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="needs tensorboard")


class Recording(Logger):
    name, version = "recording", 0

    def __init__(self):
        self.seen = []

    def log_metrics(self, metrics, step=None):
        self.seen.append((step, metrics))

    def log_hyperparams(self, params, *args, **kwargs):
        self.seen.append(params)

    def save(self):
        self.seen.append("saved")


def test_a_logger_of_one_s_own_needs_four_names():
    logger = Recording()
    logger.log_graph(torch.nn.Linear(1, 1))
    logger.after_save_checkpoint(None)
    logger.finalize("success")
    assert logger.seen == ["saved"]
    assert (logger.log_dir, logger.save_dir, logger.root_dir, logger.group_separator) == (None, None, None, "/")
    with pytest.raises(TypeError, match="abstract"):
        Logger()


def test_the_dummy_takes_every_call():
    logger = DummyLogger()
    logger.log_metrics({"a": 1}, step=0)
    logger.log_hyperparams({"a": 1})
    logger.log_image(key="x", images=[])
    logger.experiment.add_histogram("x", torch.zeros(3))
    logger.experiment["metric"]["inner"].append(1)
    logger[0].experiment.whatever(1, b=2)
    assert (logger.name, logger.version, logger.log_dir) == ("", "", None)
    assert isinstance(pickle.loads(pickle.dumps(logger)), DummyLogger)


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"lit-studio\[tensorboard\]"):
        TensorBoardLogger(tmp_path)


@needs_tensorboard
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestTensorBoard:
    def read(self, folder):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        accumulator = EventAccumulator(str(folder))
        accumulator.Reload()
        return accumulator

    def test_metrics_and_hparams_come_back(self, tmp_path):
        logger = TensorBoardLogger(tmp_path, prefix="p", sub_dir="events")
        logger.log_hyperparams({"lr": 0.1, "net": {"depth": 3, "act": torch.nn.ReLU}})
        for step in range(3):
            logger.log_metrics({"loss": torch.tensor(step / 4), "both": {"a": 1.0, "b": 2.0}}, step=step)
        logger.finalize("success")
        folder = tmp_path / "lightning_logs" / "version_0"
        assert logger.log_dir == str(folder / "events")
        found = self.read(folder / "events")
        assert [(e.step, e.value) for e in found.Scalars("p-loss")] == [(0, 0.0), (1, 0.25), (2, 0.5)]
        assert found.Scalars("p-hp_metric")[0].value == -1
        assert yaml.safe_load((folder / "hparams.yaml").read_text())["net"]["depth"] == 3

    def test_a_graph_leaves_the_mode(self, tmp_path):
        logger = TensorBoardLogger(tmp_path, log_graph=True)
        model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout()).train()
        with pytest.warns(UserWarning, match="example_input_array"):
            logger.log_graph(model)
        logger.log_graph(model, torch.zeros(1, 3))
        logger.finalize("success")
        assert model.training
        assert self.read(logger.log_dir).Graph().node

    def test_what_is_no_number_is_refused(self, tmp_path):
        logger = TensorBoardLogger(tmp_path)
        with pytest.raises(TypeError, match="metric 'image'"):
            logger.log_metrics({"image": torch.zeros(3, 3)})
        logger.finalize("failed")

    def test_it_can_be_sent_to_another_process(self, tmp_path):
        logger = TensorBoardLogger(tmp_path)
        logger.log_metrics({"a": 1.0}, step=0)
        twin = pickle.loads(pickle.dumps(logger))
        assert twin.log_dir == logger.log_dir
        logger.finalize("success")
        assert Path(logger.log_dir).is_dir()
