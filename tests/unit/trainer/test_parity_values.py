"""Where Lightning's programs look: what is logged, where it goes, what calls return, and hyper-parameters."""

from __future__ import annotations

import copy
import time
import weakref

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

import lit_studio as L
from lit_studio.pytorch.callbacks import EarlyStopping, LearningRateMonitor
from lit_studio.pytorch.loggers import Logger
from lit_studio.pytorch.utilities import CombinedLoader
from tests.unit.trainer.models import Regression, Validated, loader, trainer


class Rows(Logger):
    """Keeps what it is given."""

    name, version = "rows", 0

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, metrics))

    def log_hyperparams(self, params, *args, **kwargs):
        self.params = dict(params)


def test_what_is_logged_before_the_first_batch_belongs_to_the_first_epoch():
    class Early(Validated):
        def on_train_start(self):
            self.log("early", 1.0)

        def on_validation_start(self):
            self.log("checked", self.trainer.global_step)

        def on_sanity_check_start(self):
            self.log("sane", 1.0)

    rows = Rows()
    fit = trainer(logger=rows, num_sanity_val_steps=1, max_epochs=2)
    fit.fit(Early(), loader(), loader())
    assert [(step, row["early"]) for step, row in rows.rows if "early" in row] == [(3, 1.0)]
    assert [(step, row["checked"]) for step, row in rows.rows if "checked" in row] == [(3, 4.0), (7, 8.0)]
    assert fit.callback_metrics["early"] == 1


def test_an_optimizer_step_of_ones_own_can_log():
    class Warming(Regression):
        def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):
            self.log("rate", 0.5)
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    fit = trainer()
    fit.fit(Warming(), loader())
    assert fit.callback_metrics["rate"] == 0.5
    assert "loss" in fit.callback_metrics


def test_callbacks_can_log_and_keep_what_they_call_log():
    class Logging(L.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.log("mine", float(batch_idx))
            self.log_dict({"other": 2.0})

    class Listing(L.Callback):
        def __init__(self):
            self.log = []

        def on_train_end(self, *_):
            self.log.append(1)

    listing = Listing()
    fit = trainer(callbacks=[Logging(), listing])
    fit.fit(Regression(), loader())
    fit.fit(second := Regression(), loader())
    assert fit.callbacks[0].log.__self__ is second
    assert listing.log == [1]
    fit = trainer(callbacks=[Logging()])
    fit.fit(Regression(), loader())
    assert (fit.callback_metrics["mine"], fit.callback_metrics["other"]) == (3, 2)


def test_neither_by_step_nor_by_epoch_is_refused():
    class Nowhere(Regression):
        def training_step(self, batch, batch_idx):
            self.log("a", 1.0, on_step=False, on_epoch=False)

    with pytest.raises(L.MisconfigurationException, match="not useful"):
        trainer().fit(Nowhere(), loader())


def test_a_mean_over_no_samples_is_not_a_number():
    class Empty(Regression):
        def training_step(self, batch, batch_idx):
            self.log("a", 1.0, on_step=False, on_epoch=True, batch_size=0)
            return self.error(batch)

    fit = trainer()
    fit.fit(Empty(), loader())
    assert fit.callback_metrics["a"].isnan()


def test_results_have_the_epochs_name_only():
    class Both(Regression):
        def test_step(self, batch, batch_idx):
            self.log("t", 1.0, on_step=True, on_epoch=True)

    assert trainer().test(Both(), loader(), verbose=False) == [{"t_epoch": 1.0}]


def test_metrics_asked_for_within_an_accumulation_make_no_rows_of_their_own():
    class Asking(Regression):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            assert "loss" in self.trainer.callback_metrics

    rows = Rows()
    trainer(logger=rows, log_every_n_steps=1, accumulate_grad_batches=2).fit(Asking(), loader())
    assert [step for step, _ in rows.rows] == [0, 1]


def test_learning_rates_reach_loggers_in_the_steps_order():
    rows = Rows()
    fit = trainer(logger=rows, log_every_n_steps=1, callbacks=LearningRateMonitor("step"))
    fit.fit(Regression(), loader())
    assert [(step, "loss" in row) for step, row in rows.rows] == [(i // 2, bool(i % 2)) for i in range(8)]


def test_early_stopping_keeps_why_it_stopped():
    stopping = EarlyStopping("loss", stopping_threshold=1e9, check_on_train_epoch_end=True)
    trainer(callbacks=stopping, max_epochs=3).fit(Regression(), loader())
    state = stopping.state_dict()
    assert state["stopping_reason"] == 1
    assert state["stopping_reason_message"]
    again = EarlyStopping("loss")
    again.load_state_dict(state)
    assert (again.stopping_reason, again.state_dict()) == (stopping.stopping_reason, state)


class Stream(IterableDataset):
    def __iter__(self):
        return ((torch.ones(4), torch.ones(1)) for _ in range(4))


def test_steps_that_can_not_be_known_are_minus_one():
    fit = trainer()
    fit.fit(Regression(), DataLoader(Stream(), batch_size=2))
    assert fit.estimated_stepping_batches == -1


def test_predictions_that_are_not_kept_are_none():
    fit = trainer(limit_predict_batches=0)
    assert fit.predict(Regression(), loader()) is None
    assert trainer().predict(Regression(), []) is None
    assert trainer().predict(Regression(), loader(), return_predictions=False) is None


def test_a_fit_takes_no_sequential_loaders():
    with pytest.raises(ValueError, match="does not support"):
        trainer().fit(Regression(), CombinedLoader([loader(), loader()], "sequential"))


class Base(Regression):
    def __init__(self, width, depth=2):
        super().__init__()
        self.save_hyperparameters()


class Derived(Base):
    def __init__(self, extra, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.save_hyperparameters()


def test_a_subclass_adds_to_its_bases_hyperparameters():
    assert dict(Derived(5, 1).hparams) == {"extra": 5, "width": 1, "depth": 2}


def test_several_calls_add_up_and_ignoring_takes_away():
    class Twice(Base):
        def __init__(self, width, more):
            super().__init__(width)
            self.save_hyperparameters(more)
            self.save_hyperparameters({})
            self.save_hyperparameters("width", ignore="depth")

    module = Twice(1, {"a": 2})
    assert dict(module.hparams) == {"width": 1, "more": {"a": 2}, "a": 2}
    assert module.hparams_initial == module.hparams


class Data(L.LightningDataModule):
    def __init__(self, depth=2):
        super().__init__()
        self.save_hyperparameters()

    def train_dataloader(self):
        return loader()


def test_hyperparameters_of_one_name_must_agree():
    rows = Rows()
    trainer(logger=rows).fit(Base(1), Data())
    assert rows.params == {"width": 1, "depth": 2}
    with pytest.raises(RuntimeError, match="one name"):
        trainer(logger=Rows()).fit(Base(1), Data(depth=3))


class Averages:
    """As a torchmetrics object: adds up by itself until it is reset."""

    def __init__(self):
        self.values, self._forward_cache = [], None

    def update(self, value):
        self.values.append(value)

    def compute(self):
        return torch.tensor(sum(self.values) / len(self.values))

    def reset(self):
        self.values = []


def test_a_metric_begins_every_pass_from_nothing():
    class Measuring(Regression):
        def __init__(self):
            super().__init__()
            self.shared, self.value = Averages(), 1.0

        def validation_step(self, batch, batch_idx):
            self.shared.update(self.value)
            self.log("value", self.shared)
            if self.value == 7:
                raise RuntimeError("in the middle")

        test_step = validation_step

    module, fit = Measuring(), trainer()
    fit.fit(module, loader(), loader())
    assert module.shared.values == []
    module.value = 7.0
    with pytest.raises(RuntimeError):
        fit.validate(module, loader(), verbose=False)
    module.value = 5.0
    assert fit.test(module, loader(), verbose=False) == [{"value": 5.0}]


class Failing(Rows):
    def log_metrics(self, metrics, step=None):
        super().log_metrics(metrics, step)
        raise OSError("No space left on device")

    def finalize(self, status):
        raise OSError("No space left on device")


def test_a_logger_that_fails_is_warned_of_once_and_asked_again():
    failing, rows = Failing(), Rows()
    fit = trainer(logger=[failing, rows], log_every_n_steps=1, callbacks=LearningRateMonitor("step"))
    with pytest.warns(UserWarning, match="Failing failed, and training goes on") as seen:
        fit.fit(Regression(), loader())
    assert len([one for one in seen if "goes on" in str(one.message)]) == 1
    assert len(failing.rows) == len(rows.rows) == 8
    assert fit.state.finished


def test_a_dropped_observers_files_are_closed():
    class Watching:
        closed = 0

        def observe(self, event):
            raise OSError("No space left on device")

        def close(self):
            self.closed += 1

    watching = Watching()
    with pytest.warns(UserWarning, match="left out") as seen:
        trainer(observers=[watching]).fit(Regression(), loader())
    assert (watching.closed, len([one for one in seen if "left out" in str(one.message)])) == (1, 1)


def test_ten_thousand_names_cost_no_more_each_than_ten():
    class Many(Regression):
        def training_step(self, batch, batch_idx):
            began = time.perf_counter()
            for number in range(10_000):
                self.log(f"k{number}", 1.0)
            self.seconds = time.perf_counter() - began
            return self.error(batch)

    module = Many()
    (fit := trainer()).fit(module, loader(2))
    assert len(fit.callback_metrics) == 10_000
    assert module.seconds < 1.5  # with a look at every earlier name it took 4 seconds and more


def test_nothing_large_stays_with_a_trainer_after_its_call():
    class Large(Regression):
        def training_step(self, batch, batch_idx):
            extra = torch.zeros(10)
            kept.append(weakref.ref(extra))
            assert sum(one() is not None for one in kept) == 1  # the last step's is gone already
            return {"loss": self.error(batch), "extra": extra}

    kept = []
    fit = trainer()
    fit.fit(Large(), loader())
    assert not [one for one in kept if one() is not None]
    assert fit.results.batch is None


def test_a_trainer_and_its_wrapped_optimizers_can_be_copied():
    fit = trainer()
    fit.fit(module := Regression(), loader())
    wrapped = copy.deepcopy(module.optimizers())
    assert isinstance(wrapped, torch.optim.SGD)
    assert copy.deepcopy(fit).global_step == 4


def test_a_record_that_can_not_be_written_ends_with_the_run(tmp_path):
    class Filling(L.Callback):
        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch == 1:
                recorder = trainer.observation._observers[0]
                recorder._metrics.append = recorder._events.append = _refuse

    def _refuse(*_):
        raise OSError("No space left on device")

    fit = trainer(tmp_path, logger=True, max_epochs=3, callbacks=Filling())
    with pytest.warns(UserWarning, match="RunRecorder failed and is left out"):
        fit.fit(Regression(), loader())
    status = fit.observation.run.status()
    assert (status.state, status.step, status.epoch) == ("finished", 12, 3)
