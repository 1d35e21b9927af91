"""MLFlowLogger, with the real library and a local store."""

from __future__ import annotations

import importlib.util
import math
import os
import pickle
import shutil
import threading
import warnings
from pathlib import Path

import pytest
import torch
import yaml

import lit_studio as L
from lit_studio.base.errors import MissingDependencyError
from lit_studio.loggers import MLFlowLogger
from lit_studio.loggers import mlflow as module
from tests.unit.trainer.models import Regression, loader

STORE = all(importlib.util.find_spec(name) is not None for name in ("mlflow", "sqlalchemy", "alembic"))
needs_store = pytest.mark.skipif(not STORE, reason="needs mlflow, sqlalchemy and alembic")


# MLflow's own use of a newer sqlalchemy.
pytestmark = pytest.mark.filterwarnings("ignore:.*noload.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_PYTHON_REFRESH", "quiet")
    monkeypatch.setattr(MLFlowLogger, "connect_timeout", 120.0)  # a busy machine imports MLflow for half a minute
    monkeypatch.setattr(MLFlowLogger, "flush_timeout", 120.0)
    yield
    for name in ("MLFLOW_TRACKING_URI", "_MLFLOW_TRACKING_URI"):  # which MLflow sets
        os.environ.pop(name, None)


class Logging(Regression):
    def __init__(self, width=8, net=None):
        super().__init__()
        self.save_hyperparameters()

    def training_step(self, batch, batch_idx):
        loss = self.error(batch)
        self.log("train/loss", loss)
        return loss


def fit(logger, epochs=2, module=None):
    trainer = L.Trainer(
        max_epochs=epochs, logger=logger, log_every_n_steps=1, enable_progress_bar=False, enable_model_summary=False,
        accelerator="cpu",
    )  # fmt: skip
    trainer.fit(module or Logging(), loader())
    return trainer


def test_without_mlflow_the_extra_is_named(monkeypatch):
    true = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"'mlflow'.*\n.*lit-studio\[mlflow\]"):
        MLFlowLogger()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sqlalchemy" else true("yaml"))
    with pytest.raises(MissingDependencyError, match="'sqlalchemy'"):
        MLFlowLogger(tracking_uri="sqlite:///x.db")
    MLFlowLogger(tracking_uri="http://127.0.0.1:1")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A logger that made its store, which takes MLflow seconds."""
    logger = MLFlowLogger("first", save_dir=tmp_path_factory.mktemp("first") / "place", tracking_uri=None)
    logger.flush_timeout = 120.0
    logger.log_metrics({"a": 1.0}, step=0)
    logger.finalize("success")
    return logger


@pytest.fixture
def store(tmp_path, first):
    (tmp_path / "mlruns").mkdir()
    shutil.copy(Path(first.save_dir, "mlflow.db"), tmp_path / "mlruns")


@needs_store
def test_a_store_is_made_where_there_is_none(first):
    assert Path(first.save_dir, "mlflow.db").stat().st_size > 0
    assert first.experiment.get_run(first.run_id).data.metrics == {"a": 1.0}


@needs_store
@pytest.mark.usefixtures("store")
class TestStore:
    def test_where_it_writes(self, tmp_path, monkeypatch):
        assert MLFlowLogger()._tracking_uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
        assert MLFlowLogger().save_dir == "./mlruns"
        assert MLFlowLogger(tracking_uri="http://127.0.0.1:1").save_dir is None
        monkeypatch.setattr(module, "_allows_file_store", lambda: True)
        assert MLFlowLogger(save_dir="x")._tracking_uri == "file:x"
        assert MLFlowLogger(tracking_uri="file:y").save_dir == "y"
        monkeypatch.setattr(module, "_allows_file_store", lambda: False)
        with pytest.raises(L.MisconfigurationException, match="plain folders"):
            MLFlowLogger(tracking_uri="file:y")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:2")
        assert MLFlowLogger()._tracking_uri == "http://127.0.0.1:2"

    def test_what_the_installed_library_says_of_folders(self, monkeypatch):
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        try:
            MlflowClient("file:folders").search_experiments()
            allowed = True
        except MlflowException:
            allowed = False
        assert module._allows_file_store() is allowed
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        assert module._allows_file_store()

    def test_a_fit_s_values_and_parameters_lie_in_the_store(self, tmp_path):
        logger = MLFlowLogger(run_name="try", tags={"team": "a"}, prefix="p")
        trainer = fit(logger, module=Logging(net={"depth": 3, "act": torch.nn.ReLU}))
        client, run = logger.experiment, logger.experiment.get_run(logger.run_id)
        history = sorted(client.get_metric_history(logger.run_id, "p-train/loss"), key=lambda one: one.step)
        assert [one.step for one in history] == list(range(trainer.global_step))
        assert all(one.value > 0 and one.timestamp > 1e12 for one in history)
        assert run.data.params == {"width": "8", "net/depth": "3", "net/act": "torch.nn.modules.activation.ReLU"}
        assert run.data.tags["team"] == "a"
        assert (run.info.run_name, run.info.status) == ("try", "FINISHED")
        assert client.get_experiment(run.info.experiment_id).name == "lightning_logs"
        assert (logger.name, logger.version) == (run.info.experiment_id, run.info.run_id)
        folder = tmp_path / "mlruns" / logger.name / logger.version
        assert Path(trainer.checkpoint_callback.dirpath) == folder / "checkpoints"

    def test_the_store_is_reached_on_the_logger_s_own_thread_and_in_batches(self, monkeypatch):
        logger, threads, calls = MLFlowLogger(), set(), []
        logger.log_metrics({"a": 0.0}, step=0)
        logger._outbox.flush(60)
        true = logger._client.log_batch
        gate = threading.Event()

        def log_batch(run_id, metrics=(), params=(), **more):
            gate.wait(10)
            threads.add(threading.current_thread())
            calls.append(len(metrics) or len(params))
            return true(run_id, metrics=metrics, params=params, **more)

        monkeypatch.setattr(logger._client, "log_batch", log_batch)
        logger.log_metrics({"a": 1.0}, step=1)
        while logger._outbox._items:
            threading.Event().wait(0.001)
        for step in range(2, 452):
            logger.log_metrics({"a": float(step)}, step=step)
        logger.log_hyperparams({f"p{index}": index for index in range(150)})
        gate.set()
        logger.finalize("failed")
        assert threading.main_thread() not in threads
        assert calls == [1, 200, 200, 50, 100, 50]
        history = logger.experiment.get_metric_history(logger.run_id, "a")
        assert [one.value for one in history] == [float(step) for step in range(452)]
        run = logger.experiment.get_run(logger.run_id)
        assert len(run.data.params) == 150
        assert run.info.status == "FAILED"

    def test_what_mlflow_does_not_take_is_mended_with_a_warning(self):
        logger = MLFlowLogger(synchronous=True)
        with pytest.warns(RuntimeWarning, match=r"'loss@1' becomes 'loss1'"):
            logger.log_metrics({"loss@1": torch.tensor(1.5), "bad": math.nan})
        with pytest.warns(RuntimeWarning, match="the text 'word' is left out"):
            logger.log_metrics({"word": "no"})
        with pytest.warns(RuntimeWarning, match="'long' is cut off"):
            logger.log_hyperparams({"long": "x" * 501, "short": "x" * 500})
        logger.log_metrics({"loss@1": 2.5}, step=1)  # told once
        logger.finalize("success")
        data = logger.experiment.get_run(logger.run_id).data
        assert data.metrics["loss1"] == 2.5
        assert math.isnan(data.metrics["bad"])
        assert {name: len(text) for name, text in data.params.items()} == {"long": 500, "short": 500}

    def test_checkpoints_become_artifacts(self, tmp_path):
        logger = MLFlowLogger(log_model="all", checkpoint_path_prefix="models/net")
        trainer = fit(logger, epochs=3)  # keeps one: the earlier ones are gone when they are uploaded
        steps = trainer.global_step // 3
        names = [f"epoch={epoch}-step={(epoch + 1) * steps}" for epoch in range(3)]
        client = logger.experiment
        listed = [Path(one.path).name for one in client.list_artifacts(logger.run_id, "models/net")]
        assert sorted(listed) == names
        place = tmp_path / "mlruns" / "artifacts" / logger.run_id / "artifacts" / "models" / "net" / names[-1]
        assert torch.load(place / f"{names[-1]}.ckpt")["global_step"] == trainer.global_step
        assert yaml.safe_load((place / "metadata.yaml").read_text())["ModelCheckpoint"]["save_top_k"] == 1
        assert (place / "aliases.txt").read_text() == "['latest', 'best']"
        assert not list(Path(trainer.checkpoint_callback.dirpath).glob(".upload-*"))

    def test_true_uploads_what_is_kept_at_the_end(self):
        logger = MLFlowLogger(log_model=True)
        fit(logger, epochs=2)
        assert len(logger.experiment.list_artifacts(logger.run_id)) == 1

    def test_a_run_goes_on_by_its_id_and_in_another_process(self):
        first = MLFlowLogger()
        first.log_metrics({"a": 1.0}, step=0)
        first.finalize("success")
        twin = pickle.loads(pickle.dumps(first))
        assert twin._client is None
        twin.log_metrics({"a": 2.0}, step=1)
        twin.finalize("success")
        third = MLFlowLogger(run_id=first.run_id)
        third.log_metrics({"a": 3.0}, step=2)
        third.finalize("interrupted")
        history = third.experiment.get_metric_history(first.run_id, "a")
        assert [one.value for one in history] == [1.0, 2.0, 3.0]
        assert third.experiment_id == first.experiment_id
        assert third.experiment.get_run(first.run_id).info.status == "KILLED"

    def test_a_server_that_is_not_there_stops_nothing(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        logger = MLFlowLogger(tracking_uri="http://me:pa55word@127.0.0.1:9")
        logger.connect_timeout = 60.0
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            trainer = fit(logger)
        told = [str(one.message) for one in caught]
        assert trainer.state.finished
        assert any("MLFlowLogger failed, and training goes on" in one for one in told)
        assert any("MLFlowLogger has not sent everything" in one for one in told)
        assert not any("pa55word" in one for one in told)
        assert (logger.name, logger.version) == ("lightning_logs", logger.version)
        assert Path(trainer.checkpoint_callback.best_model_path).parent.parent.name == logger.version

    def test_a_server_that_hangs_is_waited_for_only_so_long(self, monkeypatch):
        logger, gate = MLFlowLogger(), threading.Event()
        logger.connect_timeout = 0.05
        true = logger._open_run
        monkeypatch.setattr(logger, "_open_run", lambda: gate.wait(30) and true())
        version = logger.version
        assert version is not None
        gate.set()
        logger.log_metrics({"a": 1.0}, step=0)
        logger.finalize("success")
        assert logger.version == version != logger.run_id  # a folder is named after it by now
        assert logger.experiment.get_run(logger.run_id).data.metrics == {"a": 1.0}


def test_other_ranks_than_0_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    logger = MLFlowLogger(tracking_uri="http://127.0.0.1:9")
    logger.log_metrics({"a": 1.0}, step=0)
    logger.log_hyperparams({"a": 1})
    logger.finalize("success")
    assert (logger.name, logger.version, logger._outbox._thread) == (None, None, None)
