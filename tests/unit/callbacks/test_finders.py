"""LearningRateFinder and BatchSizeFinder as callbacks: the fit goes on with what they find."""

from __future__ import annotations

import pytest
import torch

from lit_studio.callbacks import BatchSizeFinder, Callback, LearningRateFinder
from tests.unit.callbacks.models import Scripted, fit, loader


class Scheduled(Scripted):
    """``make`` turns the module into optimizers and schedulers."""

    def __init__(self, make, lr=0.01):
        super().__init__(lr=lr)
        self.make = make

    def configure_optimizers(self):
        return self.make(self)


class Rates(Callback):
    """Notes the rates at the start of training."""

    def on_train_start(self, trainer, pl_module):
        optimizer = trainer.optimizers[0]
        self.groups = [dict(group) for group in optimizer.param_groups]

    def on_train_epoch_end(self, trainer, pl_module):
        self.after = trainer.optimizers[0].param_groups[0]["lr"]


def train(tmp_path, module, *callbacks, **kwargs):
    """Two epochs of eight batches."""
    return fit(tmp_path, *callbacks, module=module, val=False, batches=16, logger=False, **kwargs)


def finder(**kwargs):
    return LearningRateFinder(**{"num_training_steps": 32, "early_stop_threshold": None, "min_lr": 1e-4, **kwargs})


def sgd(module):
    return torch.optim.SGD(module.parameters(), lr=module.lr)


def test_the_fit_goes_on_with_the_rate(tmp_path):
    find, rates = finder(), Rates()
    module = Scheduled(sgd)
    trainer = train(tmp_path, module, find, rates)
    suggested = find.optimal_lr.suggestion()
    assert suggested != 0.01
    assert module.lr == suggested == rates.groups[0]["lr"]
    assert trainer.global_step == 32
    assert trainer.current_epoch == 2


def test_without_update_attr_it_only_looks(tmp_path):
    find, rates = finder(update_attr=False), Rates()
    module = Scheduled(sgd)
    train(tmp_path, module, find, rates)
    assert len(find.optimal_lr.results["lr"]) == 32
    assert module.lr == rates.groups[0]["lr"] == 0.01


@pytest.mark.parametrize(
    ("schedule", "start"),
    [
        (lambda o, lr: torch.optim.lr_scheduler.StepLR(o, 1, 0.5), 1.0),
        (lambda o, lr: torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: (epoch + 1) / 10), 0.1),
        (lambda o, lr: torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: epoch / 10), 0.0),
        (lambda o, lr: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=lr, total_steps=10), 1 / 25),
        (
            lambda o, lr: torch.optim.lr_scheduler.SequentialLR(
                o,
                [
                    torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=2),
                    torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
                ],
                milestones=[2],
            ),
            0.1,
        ),
    ],
)
def test_schedules_go_on_as_if_they_had_been_made_with_the_rate(tmp_path, schedule, start):
    def make(module):
        optimizer = sgd(module)
        return [optimizer], [schedule(optimizer, module.lr)]

    find, rates = finder(), Rates()
    module = Scheduled(make)
    train(tmp_path, module, find, rates)
    assert rates.groups[0]["lr"] == pytest.approx(start * module.lr)
    twin = Rates()
    train(tmp_path, Scheduled(make, lr=module.lr), twin)
    assert rates.after == pytest.approx(twin.after)


def test_the_attribute_may_have_another_name(tmp_path):
    module = Scheduled(sgd)
    module.rate = 0.5
    find, rates = finder(attr_name="rate"), Rates()
    train(tmp_path, module, find, rates)
    assert module.rate == rates.groups[0]["lr"] == find.optimal_lr.suggestion()
    assert module.lr == 0.01


def test_a_finder_may_look_at_chosen_epochs(tmp_path):
    class Milestones(LearningRateFinder):
        found = ()

        def on_fit_start(self, trainer, pl_module):
            pass

        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                self.lr_find(trainer, pl_module)
                self.found = (self.optimal_lr, trainer.global_step, trainer.current_epoch)

    class Seen(Callback):
        batches = ()

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.batches = (*self.batches, batch_idx)

    find, seen = Milestones(num_training_steps=16, early_stop_threshold=None, min_lr=1e-4), Seen()
    trainer = train(tmp_path, Scheduled(sgd), find, seen, max_epochs=3)
    test, step, epoch = find.found
    assert len(test.results["lr"]) == 16
    assert (step, epoch) == (16, 1)
    assert seen.batches == (*range(16),) * 3
    assert trainer.global_step == 48


def test_other_callbacks_and_loggers_see_nothing_of_a_test(tmp_path):
    class Hooks(Callback):
        calls = 0

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            self.calls += 1

    hooks = Hooks()
    trainer = fit(tmp_path, finder(), hooks, module=Scheduled(sgd), val=False, batches=16, log_every_n_steps=1)
    assert hooks.calls == 32
    rows = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()
    assert len(rows) == 33
    assert trainer.callback_metrics.keys() == {"train_loss"}


class Sized(Scripted):
    def __init__(self, room=8):
        super().__init__()
        self.batch_size, self.room, self.sizes = 3, room, []

    def training_step(self, batch, batch_idx):
        self.sizes.append(len(batch[0]))
        if len(batch[0]) > self.room:
            raise RuntimeError("CUDA out of memory.")
        return super().training_step(batch, batch_idx)

    def train_dataloader(self):
        return loader(64, self.batch_size)

    test_dataloader = predict_dataloader = train_dataloader


def bare(tmp_path, *callbacks, **kwargs):
    from lit_studio.trainer.trainer import Trainer

    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    settings = {"accelerator": "cpu", "max_epochs": 1, "limit_val_batches": 0, **off, **kwargs}
    return Trainer(default_root_dir=tmp_path, callbacks=list(callbacks), **settings)


def test_a_fit_goes_on_with_the_size(tmp_path):
    find, module = BatchSizeFinder(steps_per_trial=1), Sized()
    trainer = bare(tmp_path, find)
    trainer.fit(module)
    assert find.optimal_batch_size == module.batch_size == 8
    assert module.sizes == [2, 4, 8, 16, *[8] * 8]
    assert trainer.global_step == trainer.num_training_batches == 8


def test_a_test_and_a_prediction_go_on_with_the_size(tmp_path):
    class Large(Sized):
        def test_step(self, batch, batch_idx):
            self.sizes.append(len(batch[0]))

        def predict_step(self, batch, batch_idx):
            self.sizes.append(len(batch[0]))
            return batch[0]

    module = Large()
    bare(tmp_path, BatchSizeFinder(steps_per_trial=1, max_val=16)).test(module)
    assert module.sizes == [2, 4, 8, 16, *[16] * 4]
    module.sizes, module.batch_size = [], 64
    predictions = bare(tmp_path, BatchSizeFinder(steps_per_trial=1, max_val=4)).predict(module)
    assert module.sizes == [4, *[4] * 16]  # the first loader held everything in one batch
    assert sum(map(len, predictions)) == 64


def test_both_finders_work_in_one_fit(tmp_path):
    find = finder(num_training_steps=16)
    size, module = BatchSizeFinder(steps_per_trial=1), Sized()
    trainer = bare(tmp_path, size, find, max_epochs=2)
    trainer.fit(module)
    assert module.batch_size == 8
    assert set(module.sizes[4:]) == {8}
    assert module.lr == find.optimal_lr.suggestion()
    assert trainer.global_step == 16


def test_a_field_in_two_places_is_pointed_out(tmp_path):
    class Twice(Sized):
        def __init__(self, batch_size=3):
            super().__init__()
            self.save_hyperparameters("batch_size")

    module = Twice()
    with pytest.warns(UserWarning, match="mutually exclusive"):
        bare(tmp_path, BatchSizeFinder(steps_per_trial=1)).fit(module)
    assert module.batch_size == module.hparams.batch_size == 8
