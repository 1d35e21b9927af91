"""The Trainer's arguments: Lightning's names and defaults, and each wrong value a clear error of the right type."""

from __future__ import annotations

import inspect
import math
from datetime import timedelta

import pytest
import torch

import lit_studio as L
from lit_studio.base import registry
from lit_studio.callbacks import EarlyStopping, ModelCheckpoint
from lit_studio.callbacks.progress import TQDMProgressBar
from lit_studio.loggers import TensorBoardLogger
from lit_studio.trainer.strategies import SingleDeviceStrategy, Strategy
from tests.unit.trainer.models import OFF, Regression, Validated, loader, trainer

OURS = {"observers", "compile", "capture_step"}
LIGHTNING = {
    "accelerator": "auto",
    "strategy": "auto",
    "devices": "auto",
    "num_nodes": 1,
    "precision": None,
    "logger": None,
    "callbacks": None,
    "fast_dev_run": False,
    "max_epochs": None,
    "min_epochs": None,
    "max_steps": -1,
    "min_steps": None,
    "max_time": None,
    "limit_train_batches": None,
    "limit_val_batches": None,
    "limit_test_batches": None,
    "limit_predict_batches": None,
    "overfit_batches": 0.0,
    "val_check_interval": None,
    "check_val_every_n_epoch": 1,
    "num_sanity_val_steps": None,
    "log_every_n_steps": None,
    "enable_checkpointing": None,
    "enable_progress_bar": None,
    "enable_model_summary": None,
    "accumulate_grad_batches": 1,
    "gradient_clip_val": None,
    "gradient_clip_algorithm": None,
    "deterministic": None,
    "benchmark": None,
    "inference_mode": True,
    "use_distributed_sampler": True,
    "profiler": None,
    "detect_anomaly": False,
    "barebones": False,
    "plugins": None,
    "sync_batchnorm": False,
    "reload_dataloaders_every_n_epochs": 0,
    "default_root_dir": None,
    "enable_autolog_hparams": True,
    "model_registry": None,
}


def test_names_order_and_defaults_are_lightnings():
    parameters = list(inspect.signature(L.Trainer).parameters.values())
    assert {p.name: p.default for p in parameters if p.name not in OURS} == LIGHTNING
    assert [p.name for p in parameters][: len(LIGHTNING)] == list(LIGHTNING)
    assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY}


def test_before_a_fit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit = L.Trainer()
    assert (fit.max_epochs, fit.max_steps, fit.precision, fit.num_training_batches) == (None, -1, "32-true", math.inf)
    assert (fit.num_val_batches, fit.log_every_n_steps, fit.num_sanity_val_steps) == ([], 50, 2)
    assert (fit.val_check_interval, fit.limit_train_batches, fit.world_size, fit.num_devices) == (1.0, 1.0, 1, 1)
    assert isinstance(fit.logger, TensorBoardLogger)
    assert fit.default_root_dir == str(tmp_path)
    assert [type(one).__name__ for one in fit.callbacks] == ["ModelSummary", "ModelCheckpoint"]
    assert (fit.state.fn, fit.state.stage, str(fit.state.status)) == (None, None, "initializing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"accelerator": "tpu"}, ValueError, "accelerator"),
        ({"accelerator": "cuda"}, L.MisconfigurationException, "No supported cuda backend found"),
        ({"devices": 0}, L.MisconfigurationException, "asks for no device"),
        ({"devices": 2, "strategy": "single_device"}, L.MisconfigurationException, "one device only"),
        ({"devices": "two"}, TypeError, "devices"),
        ({"devices": [0, 0]}, L.MisconfigurationException, "unique"),
        ({"num_nodes": 2}, L.MisconfigurationException, "where the other nodes are"),
        ({"num_nodes": 0}, L.MisconfigurationException, "num_nodes"),
        ({"strategy": "fsdp"}, L.MisconfigurationException, "not available yet"),
        ({"strategy": "fsdp2"}, L.MisconfigurationException, "not available yet"),
        ({"strategy": "magic"}, ValueError, "invalid strategy name"),
        ({"strategy": 3}, TypeError, "strategy"),
        ({"precision": "8-bit"}, ValueError, "Precision is not supported"),
        ({"fast_dev_run": -1}, L.MisconfigurationException, "fast_dev_run"),
        ({"limit_train_batches": 1.2}, L.MisconfigurationException, "limit_train_batches"),
        ({"limit_val_batches": -1}, L.MisconfigurationException, "limit_val_batches"),
        ({"limit_test_batches": "all"}, L.MisconfigurationException, "limit_test_batches"),
        ({"overfit_batches": -0.5}, L.MisconfigurationException, "overfit_batches"),
        ({"val_check_interval": 1.5}, L.MisconfigurationException, "val_check_interval"),
        ({"val_check_interval": 0.5, "check_val_every_n_epoch": None}, L.MisconfigurationException, "integer"),
        ({"val_check_interval": "noon"}, L.MisconfigurationException, "DD:HH:MM:SS"),
        ({"check_val_every_n_epoch": 1.0}, L.MisconfigurationException, "check_val_every_n_epoch"),
        ({"max_epochs": -2}, L.MisconfigurationException, "max_epochs"),
        ({"max_steps": -2}, L.MisconfigurationException, "max_steps"),
        ({"max_time": "1 hour"}, L.MisconfigurationException, "max_time"),
        ({"max_time": 60}, TypeError, "max_time"),
        ({"log_every_n_steps": -1}, L.MisconfigurationException, "log_every_n_steps"),
        ({"num_sanity_val_steps": -2}, L.MisconfigurationException, "num_sanity_val_steps"),
        ({"accumulate_grad_batches": 0}, L.MisconfigurationException, "accumulate_grad_batches"),
        ({"gradient_clip_val": "1"}, TypeError, "gradient_clip_val"),
        ({"gradient_clip_algorithm": "cosine"}, L.MisconfigurationException, "gradient_clip_algorithm"),
        ({"reload_dataloaders_every_n_epochs": -1}, L.MisconfigurationException, "reload_dataloaders_every_n_epochs"),
        ({"callbacks": [print]}, TypeError, "no callback"),
        ({"logger": 3}, TypeError, "no logger"),
        ({"profiler": "psychic"}, L.MisconfigurationException, "profiler"),
        ({"plugins": [3]}, TypeError, "plugin"),
        ({"model_registry": "x"}, L.MisconfigurationException, "model_registry"),
        ({"barebones": True, "profiler": "simple"}, ValueError, "barebones"),
        ({"callbacks": ModelCheckpoint(), "enable_checkpointing": False}, L.MisconfigurationException, "checkpoint"),
        ({"callbacks": TQDMProgressBar(), "enable_progress_bar": False}, L.MisconfigurationException, "TQDM"),
        (
            {"callbacks": [TQDMProgressBar(), TQDMProgressBar()], "enable_progress_bar": True},
            L.MisconfigurationException,
            "multiple progress bar",
        ),
    ],
)
def test_a_wrong_argument_is_an_error_of_the_right_type(arguments, error, words):
    with pytest.raises(error, match=words) as caught:
        L.Trainer(**{"accelerator": "cpu", **OFF, **arguments})
    assert isinstance(caught.value, L.StudioError)


def test_two_checkpoints_of_one_key_can_not_be_told_apart(tmp_path):
    with pytest.raises(RuntimeError, match="same state key"):
        trainer(callbacks=[ModelCheckpoint(tmp_path), ModelCheckpoint(tmp_path)], enable_checkpointing=True)


class NoStep(L.LightningModule):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class NoOptimizer(L.LightningModule):
    def training_step(self, batch, batch_idx):
        return None


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda t: t.fit(NoStep(), loader()), L.MisconfigurationException, "No `training_step"),
        (lambda t: t.fit(NoOptimizer(), loader()), L.MisconfigurationException, "No `configure_optimizers"),
        (lambda t: t.test(NoStep(), loader()), L.MisconfigurationException, "No `test_step"),
        (lambda t: t.predict(NoStep(), loader()), L.MisconfigurationException, "requires `forward`"),
        (lambda t: t.fit(Regression()), L.MisconfigurationException, "train_dataloader"),
        (lambda t: t.validate(Validated()), L.MisconfigurationException, "val_dataloader"),
        (lambda t: t.fit(Regression(), 3), TypeError, "can't be iterated"),
        (lambda t: t.fit(torch.nn.Linear(1, 1), loader()), TypeError, "must be a `LightningModule`"),
        (lambda t: t.test(), TypeError, "requires a `LightningModule`"),
        (
            lambda t: t.fit(Regression(), loader(), datamodule=L.LightningDataModule()),
            L.MisconfigurationException,
            "dataloaders and a datamodule",
        ),
        (lambda t: t.fit(Regression(), datamodule=3), TypeError, "LightningDataModule"),
        (lambda t: t.predict(Regression(), loader(), return_predictions="no"), ValueError, "return_predictions"),
    ],
)
def test_a_call_that_can_not_work_says_so_before_anything_is_written(tmp_path, call, error, words):
    with pytest.raises(error, match=words):
        call(trainer(tmp_path, logger=True))
    assert not (tmp_path / "lightning_logs").exists()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"val_check_interval": 9}, ValueError, "val_check_interval"),
        ({"limit_train_batches": 0.1}, L.MisconfigurationException, "0.1 \\* 4 < 1"),
        ({"limit_val_batches": 0.1}, L.MisconfigurationException, "0.1 of the `val_dataloader`"),
        ({"callbacks": EarlyStopping("gone")}, RuntimeError, "gone"),
    ],
)
def test_arguments_that_do_not_fit_the_loaders(settings, error, words):
    with pytest.raises(error, match=words):
        trainer(**settings).fit(Validated(), loader(), loader())


def test_without_any_bound_a_fit_has_a_thousand_epochs():
    class Stopping(Regression):
        def on_train_epoch_end(self):
            self.trainer.should_stop = self.current_epoch == 1

    fit = L.Trainer(accelerator="cpu", **OFF)
    fit.fit(Stopping(), loader())
    assert fit.max_epochs == 1000


@pytest.mark.parametrize("value", ["00:00:00:01", {"seconds": 1}, timedelta(seconds=1)])
def test_durations_in_all_forms(value):
    plan = trainer(max_time=value, val_check_interval=value).plan
    assert (plan.max_time, plan.val_check_seconds, plan.val_check_interval) == (timedelta(seconds=1), 1.0, None)


def test_validation_by_time():
    class Timed(Validated):
        passes = 0

        def on_validation_start(self):
            self.passes += 1

    module = Timed(lr=1e-4)
    fit = trainer(val_check_interval={"milliseconds": 50}, max_time={"milliseconds": 500}, limit_val_batches=1)
    fit.fit(module, loader(samples=100_000), loader())
    assert 3 <= module.passes <= 10


@pytest.mark.parametrize("devices", [1, "1", "auto", [0], "0,", -1])
def test_one_device_in_all_forms(devices):
    assert trainer(devices=devices).device_ids == [0]


def test_strategies_come_by_name_as_objects_and_from_plugins():
    own = SingleDeviceStrategy()
    assert trainer(strategy=own).strategy is own

    class Plugged(Strategy):
        pass

    registry.register("strategies", "plugged", Plugged)
    try:
        assert isinstance(trainer(strategy="plugged").strategy, Plugged)
    finally:
        registry.unregister("strategies", "plugged")


def test_the_profiler_measures_the_steps(tmp_path):
    profiler = L.profilers.SimpleProfiler(tmp_path, "perf")
    trainer(profiler=profiler, callbacks=EarlyStopping("val_loss")).fit(Validated(), loader(), loader())
    report = (tmp_path / "fit-perf.txt").read_text()
    assert "training_step" in report
    assert "validation_step" in report


def test_a_default_bar_gives_way_to_whoever_displays(monkeypatch):
    import sys

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    screen = type("Screen", (), {"displays": True, "observe": lambda *_: None, "close": lambda *_: None})()
    fit = L.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, observers=[screen])
    bar = fit.progress_bar_callback
    assert type(bar).__name__ == "RichProgressBar"
    fit.fit(Regression(), loader())
    assert not bar.is_enabled
    monkeypatch.setenv("LIT_STUDIO_MODE", "off")
    assert L.Trainer(accelerator="cpu").progress_bar_callback is None


def test_factories_of_observers_are_asked_and_one_that_fails_is_left_out(monkeypatch):
    asked = []
    screen = type("Screen", (), {"displays": True, "observe": lambda *_: None, "close": lambda *_: None})()

    def broken(run):
        raise OSError("no screen")

    factories = {"a": lambda run: asked.append(run), "b": broken, "c": lambda run: screen}
    monkeypatch.setattr(registry, "load_all", lambda group: factories)
    fit = trainer(enable_progress_bar=True)
    with pytest.warns(UserWarning, match="observer 'b' could not be made"):
        fit.fit(Regression(), loader())
    assert asked == [fit.observation.run]
    assert fit.observation.displayed
    trainer(enable_progress_bar=False).fit(Regression(), loader())
    monkeypatch.setenv("LIT_STUDIO_MODE", "off")
    trainer(enable_progress_bar=True).fit(Regression(), loader())
    monkeypatch.delenv("LIT_STUDIO_MODE")
    trainer(enable_progress_bar=True, callbacks=TQDMProgressBar()).fit(Regression(), loader())
    assert len(asked) == 1


def test_what_is_not_passed_may_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PL_TRAINER_MAX_EPOCHS", "7")
    monkeypatch.setenv("PL_TRAINER_LOGGER", "False")
    monkeypatch.setenv("PL_TRAINER_ACCELERATOR", "cpu")
    monkeypatch.setenv("PL_TRAINER_LIMIT_VAL_BATCHES", "0.5")
    monkeypatch.setenv("PL_TRAINER_DEFAULT_ROOT_DIR", str(tmp_path))
    fit = L.Trainer(limit_val_batches=2)
    assert (fit.max_epochs, fit.logger, fit.limit_val_batches) == (7, None, 2)
    assert fit.default_root_dir == str(tmp_path)


def test_arguments_by_position_are_those_in_the_order_of_the_signature():
    fit = L.Trainer("cpu", "auto", 1)
    assert type(fit.accelerator).__name__ == "CPUAccelerator"
    with pytest.raises(TypeError, match="arguments but 60 were given"):
        L.Trainer(*range(60))


def test_an_argument_that_there_is_not_is_told_with_what_may_be_meant():
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'max_epoch'\.\nDid you mean 'max_epochs'\?"):
        L.Trainer(max_epoch=3)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'gpus'\.\nWrite `accelerator="):
        L.Trainer(gpus=1)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'zzz'\.$"):
        L.Trainer(zzz=1)
