"""What programs written for Lightning 1 are told, and the kinds and key words of warnings that programs look for."""

from __future__ import annotations

import logging

import pytest
import torch
from torch.optim.lr_scheduler import StepLR

import lit_studio as L
from lit_studio.pytorch.utilities.warnings import PossibleUserWarning
from tests.unit.trainer.models import Regression, Validated, loader, trainer


@pytest.mark.parametrize(
    ("hook", "call"),
    [
        ("training_epoch_end", lambda t, m: t.fit(m, loader(), loader())),
        ("validation_epoch_end", lambda t, m: t.fit(m, loader(), loader())),
        ("validation_epoch_end", lambda t, m: t.validate(m, loader())),
        ("test_epoch_end", lambda t, m: t.test(m, loader())),
    ],
)
def test_a_hook_that_would_never_be_called_is_refused(hook, call):
    module = type("Old", (Validated,), {hook: lambda self, outputs: None})()
    with pytest.raises(NotImplementedError, match=f"`{hook}` has been removed"):
        call(trainer(), module)


def test_a_step_that_wants_the_index_of_an_optimizer_is_refused():
    class Old(Regression):
        def training_step(self, batch, batch_idx, optimizer_idx):
            return self.error(batch)

    with pytest.raises(RuntimeError, match="only supported with manual optimization"):
        trainer().fit(Old(), loader())


def test_the_older_name_of_configure_model_is_called_still():
    class Old(Regression):
        def configure_sharded_model(self):
            self.layer = torch.nn.Linear(4, 1, bias=False)

    module = Old()
    trainer().fit(module, loader())
    assert module.layer.bias is None


class Manual(Regression):
    """Steps a scheduler of its own kind."""

    def __init__(self, settings):
        super().__init__()
        self.automatic_optimization = False
        self.settings = settings

    def training_step(self, batch, batch_idx):
        self.optimizers().step()
        self.lr_schedulers().step()

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [{"scheduler": self.settings.pop("scheduler", StepLR)(optimizer, 1), **self.settings}]


def test_manual_optimization_takes_any_scheduler_and_says_which_settings_it_ignores():
    class Own:
        def __init__(self, optimizer, size):
            self.steps = 0

        def step(self):
            self.steps += 1

        def state_dict(self):
            return {}

    module = Manual({"scheduler": Own})
    trainer().fit(module, loader())
    assert module.lr_schedulers().steps == 4
    with pytest.warns(RuntimeWarning, match=r"\['monitor', 'strict'\], but the keys will be ignored"):
        trainer().fit(Manual({"interval": "step", "monitor": "x", "strict": False, "name": "n"}), loader())


def test_a_missing_validation_loader_may_be_meant():
    with pytest.warns(PossibleUserWarning, match="no `val_dataloader`"):
        trainer().fit(Validated(), loader())


def test_an_interval_of_one_is_explained(caplog):
    with caplog.at_level(logging.INFO, "lit_studio"):
        trainer(val_check_interval=1)
        trainer(val_check_interval=1.0)
    notes = [one.message for one in caplog.records if "val_check_interval" in one.message]
    assert ["every batch" in note for note in notes] == [True, False]
    assert "end of the training epoch" in notes[1]


@pytest.mark.parametrize(("reduce_fx", "expected"), [("avg", 1.5), ("SUM", 3.0), ("Max", 2.0), (max, 2.0)])
def test_a_reduction_may_be_spelt_as_lightning_lets_it(reduce_fx, expected):
    class Own(Validated):
        def validation_step(self, batch, batch_idx):
            self.log("x", float(batch_idx + 1), reduce_fx=reduce_fx)

    assert trainer().validate(Own(), loader(4), verbose=False) == [{"x": expected}]


def test_what_loggers_do_not_get_is_not_in_the_results():
    class Own(Validated):
        def validation_step(self, batch, batch_idx):
            self.log_dict({"a": 0.1, "b": torch.tensor(0.1, dtype=torch.float64)})
            self.log("hidden", 1.0, logger=False)

    fit = trainer()
    (found,) = fit.validate(Own(), loader(4), verbose=False)
    assert set(found) == {"a", "b"}
    assert {name: float(fit.callback_metrics[name]) for name in found} == found
    assert "hidden" in fit.callback_metrics


def test_the_errors_have_the_builtin_types_too():
    assert issubclass(L.RemovedError, NotImplementedError)
    with pytest.raises(L.MisconfigurationException, match="format DD:HH:MM:SS"):
        trainer(max_time="1 hour")


def test_programs_can_ask_what_is_installed():
    from lit_studio.fabric.utilities.imports import _TORCH_GREATER_EQUAL_2_6
    from lit_studio.pytorch.utilities.imports import _RICH_AVAILABLE, _TORCH_EQUAL_2_8
    from lit_studio.trainer.availability import available

    assert _RICH_AVAILABLE
    assert _TORCH_GREATER_EQUAL_2_6
    assert (torch.__version__.split(".")[:2] == ["2", "8"]) is _TORCH_EQUAL_2_8
    assert not available("no_package_of_this_name")
    assert not available("torch", "<1")


def test_a_program_may_raise_the_bare_class():
    with pytest.raises(L.MisconfigurationException) as caught:
        raise L.MisconfigurationException
    assert str(caught.value) == ""


def test_a_home_folder_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert L.Trainer(default_root_dir="~/runs", logger=False).default_root_dir == str(tmp_path / "runs")


def test_one_batch_and_the_whole_are_told_apart(caplog):
    with caplog.at_level(logging.INFO, "lit_studio"):
        trainer(limit_train_batches=1, limit_val_batches=1.0)
    notes = [one.message for one in caplog.records]
    assert "`Trainer(limit_train_batches=1)` was configured so 1 batch per epoch will be used." in notes
    assert "`Trainer(limit_val_batches=1.0)` was configured so 100% of the batches per epoch will be used." in notes


def test_loggers_are_called_by_keyword():
    seen = []

    class Logger(L.loggers.Logger):
        name, version = "n", 0

        def log_metrics(self, *, metrics, step):
            seen.append((metrics, step))

        def log_hyperparams(self, params): ...

    trainer(logger=Logger(), log_every_n_steps=1).fit(Regression(), loader(2))
    assert [(sorted(metrics), step) for metrics, step in seen] == [(["epoch", "loss"], 0)]


def test_setup_gets_a_stage_that_is_a_word_and_more():
    seen = []

    class Own(Regression):
        def setup(self, stage):
            seen.append((stage, stage.value, stage == "fit", {"fit": 1}[stage]))

    trainer().fit(Own(), loader(2))
    assert seen == [("fit", "fit", True, 1)]


def test_a_step_that_wants_the_iterator_is_refused():
    class Own(Regression):
        def training_step(self, dataloader_iter): ...

    with pytest.raises(L.MisconfigurationException, match=r"training_step\(dataloader_iter\)` is not supported"):
        trainer().fit(Own(), loader())
