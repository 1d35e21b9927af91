"""The callbacks that stop, time and schedule a fit, in real fits."""

from __future__ import annotations

import csv
import logging
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch

from lit_studio.base.errors import InvalidStateError, InvalidTypeError, InvalidValueError, MisconfigurationException
from lit_studio.base.events import MetricsLogged
from lit_studio.callbacks import (
    Callback,
    EarlyStopping,
    GradientAccumulationScheduler,
    LambdaCallback,
    LearningRateMonitor,
    ModelCheckpoint,
    Timer,
)
from lit_studio.callbacks.early_stopping import EarlyStoppingReason
from lit_studio.callbacks.functional import HOOKS
from tests.unit.callbacks.models import Scripted, fit

pytestmark = pytest.mark.filterwarnings("ignore:The dirpath has changed")  # a resume with another logger's folder

NAN, INF = float("nan"), float("inf")


class TestEarlyStopping:
    @pytest.mark.parametrize(
        ("arguments", "script", "epochs", "reason"),
        [
            ({"patience": 2}, [5, 4, 4, 5, 1, 1], 4, EarlyStoppingReason.PATIENCE_EXHAUSTED),
            ({"patience": 1, "mode": "max"}, [1, 2, 2, 9], 3, EarlyStoppingReason.PATIENCE_EXHAUSTED),
            ({"patience": 1, "min_delta": 0.5}, [5, 4.4, 4.0, 1], 3, EarlyStoppingReason.PATIENCE_EXHAUSTED),
            (
                {"patience": 1, "min_delta": 0.5, "mode": "max"},
                [1, 1.6, 2.0, 9],
                3,
                EarlyStoppingReason.PATIENCE_EXHAUSTED,
            ),
            ({"stopping_threshold": 0.5}, [5, 0.5, 0.4, 1], 3, EarlyStoppingReason.STOPPING_THRESHOLD),
            ({"stopping_threshold": 3, "mode": "max"}, [1, 4], 2, EarlyStoppingReason.STOPPING_THRESHOLD),
            ({"divergence_threshold": 10}, [5, 10, 11, 1], 3, EarlyStoppingReason.DIVERGENCE_THRESHOLD),
            ({"divergence_threshold": -1, "mode": "max"}, [5, -2], 2, EarlyStoppingReason.DIVERGENCE_THRESHOLD),
            ({}, [5, INF, 1], 2, EarlyStoppingReason.NON_FINITE_METRIC),
            ({"patience": 9}, [6, 5, 4, 3, 2, 1], 6, EarlyStoppingReason.NOT_STOPPED),
        ],
    )
    @pytest.mark.filterwarnings("ignore:.*infinite at step")
    def test_when_it_stops(self, tmp_path, arguments, script, epochs, reason):
        callback = EarlyStopping("val", **arguments)
        trainer = fit(tmp_path, callback, module=Scripted(script), max_epochs=6)
        assert trainer.current_epoch == epochs
        assert callback.stopping_reason is reason
        assert callback.stopped_epoch == (0 if reason is EarlyStoppingReason.NOT_STOPPED else epochs - 1)
        assert (callback.stopping_reason_message is None) == (reason is EarlyStoppingReason.NOT_STOPPED)

    @pytest.mark.filterwarnings("ignore:.*NaN at step")
    def test_what_is_not_finite_can_be_allowed(self, tmp_path):
        callback = EarlyStopping("val", check_finite=False, patience=3)
        assert fit(tmp_path, callback, module=Scripted([5, NAN, 4]), max_epochs=3).current_epoch == 3
        assert float(callback.best_score) == 4

    def test_a_resumed_fit_goes_on_counting(self, tmp_path):
        saving = ModelCheckpoint(tmp_path / "c", save_top_k=-1)
        fit(tmp_path, EarlyStopping("val", patience=3), saving, module=Scripted([1, 2]), max_epochs=2)
        callback = EarlyStopping("val", patience=3)
        trainer = fit(tmp_path, callback, module=Scripted([3]), max_epochs=9, ckpt_path=saving.best_model_path)
        assert callback.wait_count == 3
        assert trainer.current_epoch == 4

    def test_at_the_end_of_the_training_epoch(self, tmp_path):
        callback = EarlyStopping("train_loss", stopping_threshold=INF, check_on_train_epoch_end=True)
        assert fit(tmp_path, callback, val=False, max_epochs=5).current_epoch == 1

    def test_between_the_validations_of_an_epoch(self, tmp_path):
        callback = EarlyStopping("val", patience=1)
        trainer = fit(tmp_path, callback, module=Scripted([1, 2]), val_check_interval=1, max_epochs=5)
        assert trainer.global_step == 2

    def test_a_metric_that_never_comes(self, tmp_path):
        with pytest.raises(InvalidStateError, match=r"metric `nope` which is not available; logged were: .*val_loss"):
            fit(tmp_path, EarlyStopping("nope"))
        with pytest.warns(UserWarning, match="is not available") as warned:
            fit(tmp_path, EarlyStopping("nope", strict=False))
        assert len([w for w in warned if "is not available" in str(w.message)]) == 1

    def test_unknown_mode_and_messages(self, tmp_path, caplog):
        with pytest.raises(MisconfigurationException, match="min or max, got up"):
            EarlyStopping("val", mode="up")
        with caplog.at_level(logging.INFO, "lit_studio"):
            fit(tmp_path, EarlyStopping("val", patience=1, verbose=True), module=Scripted([2, 1, 1]), max_epochs=5)
        assert "Metric val improved: 1 (before: 2)" in caplog.text
        assert "did not improve in the last 1 checks. Best score: 1" in caplog.text

    def test_two_of_them_keep_their_own_state(self, tmp_path):
        saving = ModelCheckpoint(tmp_path / "c")
        fit(tmp_path, EarlyStopping("val"), EarlyStopping("val", mode="max"), saving, module=Scripted([1, 2]))
        callbacks = torch.load(saving.best_model_path, weights_only=True)["callbacks"]
        assert callbacks["EarlyStopping{'monitor': 'val', 'mode': 'min'}"]["wait_count"] == 1
        assert callbacks["EarlyStopping{'monitor': 'val', 'mode': 'max'}"]["wait_count"] == 0


class TestTimer:
    @pytest.mark.parametrize("duration", ["00:00:00:00", timedelta(0), {"seconds": 0}])
    def test_no_time_at_all_still_finishes_a_batch(self, tmp_path, duration):
        timer = Timer(duration)
        assert fit(tmp_path, timer, max_epochs=3).global_step <= 1

    def test_it_stops_in_time(self, tmp_path):
        class Slow(Callback):
            def on_train_batch_start(self, *args):
                time.sleep(0.02)

        timer = Timer(timedelta(seconds=0.1))
        trainer = fit(tmp_path, Slow(), timer, batches=100, val=False)
        assert 3 <= trainer.global_step <= 8
        assert 0.1 <= timer.time_elapsed() < 0.4
        assert timer.time_remaining() < 0

    def test_it_waits_for_the_epoch_s_end(self, tmp_path):
        trainer = fit(tmp_path, Timer({"milliseconds": 1}, interval="epoch"), batches=8, max_epochs=5)
        assert trainer.global_step == 8

    def test_it_measures_stages(self, tmp_path):
        timer = Timer()
        assert (timer.start_time(), timer.time_elapsed(), timer.time_remaining()) == (None, 0.0, None)
        trainer = fit(tmp_path, timer)
        assert 0 < timer.time_elapsed("validate") < timer.time_elapsed("train")
        assert timer.end_time() > timer.start_time()
        assert timer.time_elapsed("test") == 0
        assert trainer.global_step == 8

    def test_time_before_the_checkpoint_counts(self, tmp_path):
        first = Timer(timedelta(hours=1))
        first.load_state_dict({"time_elapsed": {"train": 3590.0}})
        assert first.time_remaining() == 10
        saving = ModelCheckpoint(tmp_path / "c")
        fit(tmp_path, first, saving)
        second = Timer(timedelta(seconds=3590))
        trainer = fit(tmp_path, second, max_epochs=9, ckpt_path=saving.best_model_path)
        assert trainer.global_step <= 9
        assert second.time_elapsed() > 3590

    @pytest.mark.parametrize("bad", ["1:2:3", "99", 5, {"years": 1}, "00:00:00:0a"])
    def test_what_is_no_duration(self, bad):
        with pytest.raises(MisconfigurationException, match="format DD:HH:MM:SS"):
            Timer(bad)

    def test_wrong_words(self):
        with pytest.raises(MisconfigurationException, match="'step' or 'epoch'"):
            Timer(interval="batch")
        with pytest.raises(InvalidValueError, match="train, validate, test"):
            Timer().time_elapsed("predict")
        assert Timer("01:02:03:04").time_remaining() == 93784


class TestLambda:
    def test_functions_are_hooks(self, tmp_path):
        seen = []
        callback = LambdaCallback(
            on_train_batch_end=lambda trainer, module, outputs, batch, idx: seen.append(idx),
            on_fit_end=lambda trainer, module: seen.append("end"),
            on_test_start=None,
        )
        fit(tmp_path, callback, max_epochs=1)
        assert seen == [0, 1, 2, 3, "end"]

    def test_every_hook_can_be_given_and_no_other(self):
        assert len(HOOKS) == 37
        LambdaCallback(**dict.fromkeys(HOOKS, print))
        with pytest.raises(InvalidValueError, match="on_batch_end"):
            LambdaCallback(on_batch_end=print)


class TestAccumulation:
    def test_the_factor_follows_the_schedule(self, tmp_path):
        steps = []
        watch = LambdaCallback(on_train_epoch_end=lambda trainer, module: steps.append(trainer.global_step))
        scheduler = GradientAccumulationScheduler({1: 2, 3: 4})
        trainer = fit(tmp_path, watch, scheduler, max_epochs=5)
        assert steps == [4, 6, 8, 9, 10]
        assert trainer.accumulate_grad_batches == 1
        assert [scheduler.get_accumulate_grad_batches(epoch) for epoch in range(5)] == [1, 2, 2, 4, 4]
        assert scheduler.going_to_accumulate_grad_batches()
        assert not GradientAccumulationScheduler({3: 1}).going_to_accumulate_grad_batches()

    def test_contradictions(self, tmp_path):
        with pytest.raises(ValueError, match="contradict"):
            fit(tmp_path, GradientAccumulationScheduler({0: 2}), accumulate_grad_batches=2)
        manual = Scripted()
        manual.automatic_optimization = False
        with pytest.raises(RuntimeError, match="manual optimization"):
            fit(tmp_path, GradientAccumulationScheduler({0: 2}), module=manual)

    @pytest.mark.parametrize("bad", [{}, None, [1]])
    def test_no_schedule(self, bad):
        with pytest.raises(InvalidTypeError, match="at least one epoch"):
            GradientAccumulationScheduler(bad)

    @pytest.mark.parametrize("bad", [{-1: 2}, {0: 0}, {"0": 2}, {0: 1.5}])
    def test_bad_entries(self, bad):
        with pytest.raises(MisconfigurationException, match="should be an int"):
            GradientAccumulationScheduler(bad)


class Points:
    """An observer that keeps the learning rates."""

    def __init__(self):
        self.seen = {}

    def observe(self, event):
        if isinstance(event, MetricsLogged):
            for points in event.points:
                if points.name.startswith(("lr", "my")):
                    self.seen.setdefault(points.name, []).extend(zip(points.steps, points.values, strict=True))

    def close(self):
        pass


class Decaying(Scripted):
    """SGD whose rate is halved each epoch (or each step)."""

    def __init__(self, interval="epoch", name=None, groups=1):
        super().__init__()
        self.interval, self.name, self.groups = interval, name, groups

    def configure_optimizers(self):
        parameters = list(self.parameters())
        groups = [{"params": parameters[:1]}, {"params": parameters[1:]}] if self.groups == 2 else parameters
        optimizer = torch.optim.SGD(groups, lr=1e-3, momentum=0.9, weight_decay=1e-4)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": self.interval, "name": self.name},
        }


class TestLearningRateMonitor:
    def run(self, tmp_path, monitor, module, **kwargs):
        points = Points()
        trainer = fit(tmp_path, monitor, module=module, observers=[points], **{"log_every_n_steps": 1, **kwargs})
        return trainer, points.seen

    def test_as_the_scheduler_steps(self, tmp_path):
        monitor = LearningRateMonitor()
        _, seen = self.run(tmp_path, monitor, Decaying())
        assert seen == {"lr-SGD": [(0, 1e-3), (4, 5e-4)]}
        assert monitor.lrs == {"lr-SGD": [1e-3, 5e-4]}
        _, seen = self.run(tmp_path, monitor, Decaying("step"), max_epochs=1)
        assert seen == {"lr-SGD": [(0, 1e-3), (1, 5e-4), (2, 2.5e-4), (3, 1.25e-4)]}

    def test_at_a_chosen_interval(self, tmp_path):
        _, seen = self.run(tmp_path, LearningRateMonitor("step"), Decaying(), max_epochs=1)
        assert [step for step, _ in seen["lr-SGD"]] == [0, 1, 2, 3]
        _, seen = self.run(tmp_path, LearningRateMonitor("epoch"), Decaying("step"))
        assert [step for step, _ in seen["lr-SGD"]] == [0, 4]
        _, seen = self.run(tmp_path, LearningRateMonitor("step"), Decaying(), max_epochs=2, log_every_n_steps=3)
        assert [step for step, _ in seen["lr-SGD"]] == [2, 5]

    def test_the_loggers_get_them_too(self, tmp_path):
        trainer, _ = self.run(tmp_path, LearningRateMonitor("epoch"), Decaying())
        with (Path(trainer.log_dir) / "metrics.csv").open(newline="") as file:
            logged = [(row["step"], float(row["lr-SGD"])) for row in csv.DictReader(file) if row["lr-SGD"]]
        assert logged == [("0", 1e-3), ("4", 5e-4)]
        assert float(trainer.callback_metrics["lr-SGD"]) == pytest.approx(5e-4)

    def test_names_of_groups_and_schedulers(self, tmp_path):
        _, seen = self.run(tmp_path, LearningRateMonitor("epoch"), Decaying(groups=2))
        assert list(seen) == ["lr-SGD/pg1", "lr-SGD/pg2"]
        _, seen = self.run(tmp_path, LearningRateMonitor("epoch"), Decaying(name="my_rate"))
        assert list(seen) == ["my_rate"]

    def test_momentum_and_weight_decay(self, tmp_path):
        monitor = LearningRateMonitor("epoch", log_momentum=True, log_weight_decay=True)
        _, seen = self.run(tmp_path, monitor, Decaying())
        assert seen["lr-SGD-momentum"] == [(0, 0.9), (4, 0.9)]
        assert seen["lr-SGD-weight_decay"] == [(0, 1e-4), (4, 1e-4)]
        assert monitor.last_momentum_values == {"lr-SGD-momentum": 0.9}

        class Adam(Scripted):
            def configure_optimizers(self):
                return torch.optim.Adam(self.parameters(), lr=0.1, betas=(0.8, 0.9))

        _, seen = self.run(tmp_path, LearningRateMonitor("epoch", log_momentum=True), Adam())
        assert seen["lr-Adam-momentum"] == [(0, 0.8), (4, 0.8)]

    def test_no_momentum_is_said(self, tmp_path):
        class Plain(Scripted):
            def configure_optimizers(self):
                return torch.optim.Adagrad(self.parameters())

        with pytest.warns(RuntimeWarning, match="do not have momentum"):
            self.run(tmp_path, LearningRateMonitor(log_momentum=True), Plain())

    def test_a_group_that_comes_later_renames_the_earlier_values(self, tmp_path):
        def add(trainer, module):
            if trainer.current_epoch == 1:
                trainer.optimizers[0].add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.5})

        monitor = LearningRateMonitor("epoch")
        self.run(tmp_path, monitor, Scripted(lr=0.1), max_epochs=1)
        assert list(monitor.lrs) == ["lr-SGD"]
        fit(tmp_path, LambdaCallback(on_train_epoch_start=add), monitor, module=Scripted(lr=0.1), max_epochs=3)
        assert monitor.lrs == {"lr-SGD/pg1": [0.1, 0.1, 0.1], "lr-SGD/pg2": [0.5, 0.5]}

    def test_wrong_interval_and_equal_names(self, tmp_path):
        with pytest.raises(MisconfigurationException, match="logging_interval"):
            LearningRateMonitor("batch")

        class Twice(Scripted):
            def configure_optimizers(self):
                one, other = self.parameters()
                return torch.optim.SGD([{"params": [one], "name": "a"}, {"params": [other], "name": "a"}], lr=0.1)

        with pytest.raises(MisconfigurationException, match="identical names"):
            self.run(tmp_path, LearningRateMonitor(), Twice())
