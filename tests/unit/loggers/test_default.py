"""The logger of a Trainer that was given none: what programs written for Lightning's default find."""

from __future__ import annotations

import pickle
from importlib.util import find_spec

import pytest
import torch

import lit_studio as L
from lit_studio.loggers import CSVLogger, TensorBoardLogger, default
from tests.unit.trainer.models import Validated, loader

tensorboard = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def fit(tmp_path, module=None, **kwargs):
    one = L.Trainer(
        accelerator="cpu",
        default_root_dir=tmp_path,
        max_epochs=2,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **kwargs,
    )
    one.fit(module or Validated(), loader(4), loader(4))
    return one


def events(folder):
    return tensorboard.EventAccumulator(str(folder)).Reload()


def test_both_kinds_of_files_lie_in_one_folder(tmp_path):
    one = fit(tmp_path, log_every_n_steps=1)
    assert isinstance(one.logger, TensorBoardLogger)
    assert one.loggers == [one.logger]
    folder = tmp_path / "lightning_logs" / "version_0"
    assert one.log_dir == str(folder)
    names = sorted(path.name.split(".")[0] for path in folder.iterdir())
    assert names == ["events", "hparams", "metrics", "studio"]
    found = events(folder)
    assert [scalar.step for scalar in found.Scalars("loss")] == [0, 1, 2, 3]
    assert [scalar.step for scalar in found.Scalars("val_loss")] == [1, 3]
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    assert (header, len(rows)) == ("epoch,step,loss,val_loss", 6)


def test_programs_draw_through_the_experiment(tmp_path):
    class Drawing(Validated):
        def on_train_epoch_end(self):
            self.logger.experiment.add_image("weights", torch.rand(3, 4, 4), self.current_epoch)

    one = fit(tmp_path, Drawing())
    assert [image.step for image in events(one.log_dir).Images("weights")] == [0, 1]


def test_hyper_parameters_are_written_once_and_make_no_row(tmp_path):
    class Own(Validated):
        def __init__(self, rate=0.1):
            super().__init__()
            self.save_hyperparameters()

    one = fit(tmp_path, Own(rate=0.3))
    folder = tmp_path / "lightning_logs" / "version_0"
    assert (folder / "hparams.yaml").read_text() == "rate: 0.3\n"
    assert "hp_metric" not in (folder / "metrics.csv").read_text()
    assert "hp_metric" in events(one.log_dir).Tags()["scalars"]


def test_without_tensorboard_it_is_a_csv_file(tmp_path, monkeypatch):
    monkeypatch.setattr(default, "find_spec", lambda name: None if name == "tensorboard" else find_spec(name))
    assert type(L.Trainer(default_root_dir=tmp_path).logger) is CSVLogger


def test_nothing_of_it_is_there_before_something_is_logged(tmp_path):
    one = L.Trainer(default_root_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
    copy = pickle.loads(pickle.dumps(one.logger))
    copy.log_metrics({"a": 1.0, "curves": {"x": 1.0, "y": 2.0}}, 3)
    copy.finalize("success")
    folder = tmp_path / "lightning_logs" / "version_0"
    assert (folder / "metrics.csv").read_text().splitlines() == ["step,a", "3,1.0"]
    assert events(folder).Tags()["scalars"] == ["a"]
