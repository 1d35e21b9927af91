"""The order of hooks, and what happens to it when something fails."""

from __future__ import annotations

import pytest
import torch

import lit_studio as L
from lit_studio.loggers import Logger
from tests.unit.trainer.models import Regression, Validated, loader, trainer

SET_UP = """
m.configure_callbacks d.prepare_data m.prepare_data d.setup c.setup m.setup m.configure_model m.configure_optimizers
c.on_fit_start m.on_fit_start
"""
SANITY = """
c.on_sanity_check_start d.val_dataloader m.on_validation_model_eval c.on_validation_start m.on_validation_start
c.on_validation_epoch_start m.on_validation_epoch_start
d.on_before_batch_transfer d.transfer_batch_to_device d.on_after_batch_transfer
c.on_validation_batch_start m.on_validation_batch_start m.validation_step
c.on_validation_batch_end m.on_validation_batch_end
c.on_validation_epoch_end m.on_validation_epoch_end c.on_validation_end m.on_validation_end
m.on_validation_model_train c.on_sanity_check_end
"""
TRANSFER = "d.on_before_batch_transfer d.transfer_batch_to_device d.on_after_batch_transfer"
FIRST_MICRO_BATCH = f"""
{TRANSFER} c.on_train_batch_start m.on_train_batch_start m.training_step
c.on_before_zero_grad m.on_before_zero_grad m.optimizer_zero_grad
c.on_before_backward m.on_before_backward m.backward c.on_after_backward m.on_after_backward
c.on_train_batch_end m.on_train_batch_end
"""
SECOND_MICRO_BATCH = f"""
{TRANSFER} c.on_train_batch_start m.on_train_batch_start m.optimizer_step m.training_step
c.on_before_backward m.on_before_backward m.backward c.on_after_backward m.on_after_backward
c.on_before_optimizer_step m.on_before_optimizer_step m.configure_gradient_clipping
m.lr_scheduler_step c.on_train_batch_end m.on_train_batch_end
"""
VALIDATION = f"""
m.on_validation_model_zero_grad m.on_validation_model_eval c.on_validation_start m.on_validation_start
c.on_validation_epoch_start m.on_validation_epoch_start
{TRANSFER} c.on_validation_batch_start m.on_validation_batch_start m.validation_step
c.on_validation_batch_end m.on_validation_batch_end
c.on_validation_epoch_end m.on_validation_epoch_end
logger.log_metrics(epoch,val_loss;0) logger.save c.on_validation_end m.on_validation_end m.on_validation_model_train
"""
EPOCH_END = "c.on_train_epoch_end m.on_train_epoch_end late.on_train_epoch_end"
TEAR_DOWN = """
c.on_train_end m.on_train_end c.on_fit_end m.on_fit_end d.teardown c.teardown m.teardown logger.finalize(success)
"""


def spying(base, who, seen):
    """A subclass of ``base`` whose every hook notes that it was called."""

    def note(name):
        def hook(self, *args, **kwargs):
            seen.append(f"{who}.{name}")
            return getattr(super(cls, self), name)(*args, **kwargs)

        return hook

    steps = ("configure_callbacks", "configure_model", "configure_gradient_clipping", "configure_optimizers")
    steps += ("optimizer_step", "optimizer_zero_grad", "lr_scheduler_step", "backward", "prepare_data")
    steps += ("setup", "teardown", "transfer_batch_to_device", "val_dataloader", "train_dataloader")
    steps += ("training_step", "validation_step")
    names = [name for name in dir(base) if (name.startswith("on_") and name != "on_gpu") or name in steps]
    cls = type("Spying", (base,), {name: note(name) for name in names})
    return cls


class Scheduled(Validated):
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    def training_step(self, batch, batch_idx):
        return self.error(batch)


class Data(L.LightningDataModule):
    def train_dataloader(self):
        return loader(4)

    def val_dataloader(self):
        return loader(2)


class Noting(Logger):
    name, version = "noting", "0"

    def __init__(self, seen):
        self.seen = seen

    def log_metrics(self, metrics, step=None):
        self.seen.append(f"logger.log_metrics({','.join(sorted(metrics))};{step})")

    def log_hyperparams(self, params, *args, **kwargs):
        self.seen.append("logger.log_hyperparams")

    def save(self):
        self.seen.append("logger.save")

    def finalize(self, status):
        self.seen.append(f"logger.finalize({status})")


def test_the_order_of_a_fit_is_lightnings(tmp_path):
    seen = []
    late = L.callbacks.EarlyStopping("val_loss", patience=9)
    late.on_train_epoch_end = lambda *_: seen.append("late.on_train_epoch_end")
    fit = trainer(
        tmp_path,
        num_sanity_val_steps=1,
        accumulate_grad_batches=2,
        logger=Noting(seen),
        callbacks=[late, spying(L.Callback, "c", seen)()],
    )
    fit.fit(spying(Scheduled, "m", seen)(), spying(Data, "d", seen)())
    expected = [SET_UP, "logger.save", SANITY, "d.train_dataloader c.on_train_start m.on_train_start"]
    expected += ["c.on_train_epoch_start m.on_train_epoch_start", FIRST_MICRO_BATCH, SECOND_MICRO_BATCH, VALIDATION]
    expected += [EPOCH_END, TEAR_DOWN]
    assert seen == " ".join(expected).split()


def test_hooks_that_nobody_overrides_are_not_resolved():
    fit = trainer()
    fit.fit(Regression(), loader())
    names = ("on_train_batch_start", "on_train_batch_end", "on_before_backward", "on_before_zero_grad")
    assert [fit.hooks.find(name) for name in names] == [None] * 4


def test_a_hook_set_on_the_instance_counts():
    seen, callback = [], L.Callback()
    callback.on_train_batch_start = lambda trainer, module, batch, batch_idx: seen.append(batch_idx)
    trainer(callbacks=callback).fit(Regression(), loader())
    assert seen == [0, 1, 2, 3]


def test_minus_one_skips_the_rest_of_the_epoch():
    class Skipping(Regression):
        def on_train_batch_start(self, batch, batch_idx):
            return -1 if batch_idx == 1 else None

    fit = trainer(max_epochs=3)
    fit.fit(Skipping(), loader())
    assert (fit.global_step, fit.current_epoch) == (3, 3)


def test_an_error_reaches_everybody_and_comes_out_unchanged(tmp_path):
    seen = []

    class Telling(L.Callback):
        def on_exception(self, trainer, module, exception):
            seen.append(("callback", exception))

        def teardown(self, *_, **stage):
            seen.append("teardown")

    class TellingData(Data):
        def on_exception(self, exception):
            seen.append(("datamodule", exception))

    class Failing(Validated):
        def training_step(self, batch, batch_idx):
            raise error

    error, notes = RuntimeError("boom"), []
    fit = trainer(tmp_path, logger=Noting(notes), callbacks=Telling())
    with pytest.raises(RuntimeError) as caught:
        fit.fit(Failing(), TellingData())
    assert caught.value is error
    assert seen == [("callback", error), ("datamodule", error)]
    assert notes[-1] == "logger.finalize(failed)"
    assert (fit.state.status, fit.interrupted) == ("interrupted", True)
    status = fit.observation.run.status()
    assert (status.state, status.error) == ("failed", "RuntimeError: boom")


def test_a_second_failure_while_failing_does_not_hide_the_first():
    class Worse(L.Callback):
        def on_exception(self, *_):
            raise ValueError("worse")

    class Failing(Regression):
        def training_step(self, batch, batch_idx):
            raise RuntimeError("first")

    with pytest.warns(UserWarning, match="worse"), pytest.raises(RuntimeError, match="first"):
        trainer(callbacks=Worse()).fit(Failing(), loader())


def test_callbacks_of_the_module_take_the_place_of_their_kind(tmp_path):
    class Stopping(Validated):
        def configure_callbacks(self):
            return [mine, L.callbacks.ModelCheckpoint(tmp_path)]

    mine = L.callbacks.EarlyStopping("val_loss")
    fit = trainer(tmp_path, enable_checkpointing=None, callbacks=[L.callbacks.EarlyStopping("loss"), L.Callback()])
    fit.fit(Stopping(), loader(), loader())
    assert [one for one in fit.callbacks if isinstance(one, L.callbacks.EarlyStopping)] == [mine]
    assert [type(one).__name__ for one in fit.callbacks] == ["Callback", "EarlyStopping", "ModelCheckpoint"]
