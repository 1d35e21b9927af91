"""``self.log``: names, reductions, what callbacks and loggers get, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils.data import DataLoader

import lit_studio as L
from lit_studio.base.events import MetricsLogged, WarningRaised
from tests.unit.trainer.models import Regression, Validated, loader, trainer


class Collector:
    """An observer and a logger at once: keeps every event, and every row by step."""

    log_dir = save_dir = None
    name, version = "collector", 0

    def __init__(self):
        self.events, self.rows, self.closed = [], [], 0

    def observe(self, event):
        self.events.append(event)

    def close(self):
        self.closed += 1

    def points(self, name):
        """What observers were told of ``name``: (step, value)."""
        logged = [event for event in self.events if isinstance(event, MetricsLogged)]
        found = [points for event in logged for points in event.points if points.name == name]
        return [pair for points in found for pair in zip(points.steps, points.values, strict=True)]

    def log_metrics(self, metrics, step):
        self.rows.append((step, metrics))

    def log_hyperparams(self, params):
        pass

    def save(self):
        pass

    def finalize(self, status):
        pass


def logging(body, **kwargs):
    """A module whose ``training_step`` first calls ``body(self, batch, batch_idx)``."""

    class Logging(Regression):
        def training_step(self, batch, batch_idx):
            body(self, batch, batch_idx)
            return self.error(batch)

    return Logging(**kwargs)


def test_names_and_values_by_step_and_by_epoch(tmp_path):
    seen = Collector()
    fit = trainer(tmp_path, max_epochs=2, logger=seen, observers=[seen], log_every_n_steps=2)
    fit.fit(logging(lambda m, b, i: m.log("a", float(i), on_step=True, on_epoch=True, prog_bar=True)), loader())
    assert {name: float(value) for name, value in fit.callback_metrics.items()} == {
        "a": 1.5,
        "a_step": 3.0,
        "a_epoch": 1.5,
    }
    assert all(isinstance(value, torch.Tensor) for value in fit.callback_metrics.values())
    assert fit.progress_bar_metrics == {"a_step": 3.0, "a_epoch": 1.5}
    assert set(fit.logged_metrics) == {"a_step", "a_epoch"}
    assert seen.rows == [  # every second step, and each epoch at its last step
        (1, {"a_step": 1.0, "epoch": 0}),
        (3, {"a_step": 3.0, "epoch": 0}),
        (3, {"a_epoch": 1.5, "epoch": 0}),
        (5, {"a_step": 1.0, "epoch": 1}),
        (7, {"a_step": 3.0, "epoch": 1}),
        (7, {"a_epoch": 1.5, "epoch": 1}),
    ]
    assert seen.points("a_step") == [(step, float(step % 4)) for step in range(8)]  # observers get every step
    assert seen.points("a_epoch") == [(3, 1.5), (7, 1.5)]


def test_defaults_are_by_step_in_training_and_by_epoch_elsewhere():
    class Everywhere(Validated):
        def training_step(self, batch, batch_idx):
            self.log("step", float(batch_idx))
            return self.error(batch)

        def on_train_epoch_end(self):
            self.log("late", 7.0)

        def validation_step(self, batch, batch_idx):
            self.log("val", float(batch_idx))

        def on_validation_epoch_end(self):
            assert float(self.trainer.callback_metrics["val"]) == 1.5
            self.log("val_late", 8.0)

    fit = trainer()
    fit.fit(Everywhere(), loader(), loader())
    found = {name: float(value) for name, value in fit.callback_metrics.items()}
    assert found == {"step": 3.0, "val": 1.5, "val_late": 8.0, "late": 7.0}


@pytest.mark.parametrize(
    ("reduce_fx", "expected"),
    [("mean", 1.5), ("sum", 6.0), ("min", 0.0), ("max", 3.0), (torch.max, 3.0), (min, 0.0)],
)
def test_reductions(reduce_fx, expected):
    fit = trainer()
    body = lambda m, b, i: m.log("a", torch.tensor(float(i)), on_step=False, on_epoch=True, reduce_fx=reduce_fx)  # noqa: E731
    fit.fit(logging(body), loader())
    assert float(fit.callback_metrics["a"]) == expected


@pytest.mark.parametrize("reduce_fx", ["mean", "sum", "min", "max"])
def test_an_epoch_that_saw_a_nan_shows_it(reduce_fx):
    values = [1.0, math.nan, 2.0, 3.0]
    fit = trainer()
    body = lambda m, b, i: m.log("a", values[i], on_step=False, on_epoch=True, reduce_fx=reduce_fx)  # noqa: E731
    with pytest.warns(UserWarning, match="a is NaN at step 1"):
        fit.fit(logging(body), loader())
    assert math.isnan(fit.callback_metrics["a"])


def test_a_mean_is_weighted_by_the_batch_size():
    class Weighted(Validated):
        def validation_step(self, batch, batch_idx):
            self.log("inferred", float(batch_idx))
            self.log("given", float(batch_idx), batch_size=1)

    [found] = trainer().validate(Weighted(), loader(samples=5, batch_size=4), verbose=False)
    assert found == pytest.approx({"inferred": 0.2, "given": 0.5})


def test_a_batch_size_that_is_not_clear_is_said():
    batches = DataLoader([0], batch_size=None, collate_fn=lambda _: (torch.ones(3, 4), torch.ones(2)))

    class Odd(Regression):
        def test_step(self, batch, batch_idx):
            self.log("a", 1.0)

    with pytest.warns(UserWarning, match="ambiguous collection: the one taken is 3"):
        trainer().test(Odd(), batches, verbose=False)
    with pytest.raises(L.MisconfigurationException, match="could not infer the batch_size"):
        trainer().test(Odd(), DataLoader([0], batch_size=None, collate_fn=lambda _: object()), verbose=False)


def test_a_value_changed_in_place_afterwards_is_logged_as_it_was():
    seen = Collector()

    def body(module, batch, batch_idx):
        value = torch.tensor(float(batch_idx))
        module.log("a", value)
        value += 100

    trainer(observers=[seen]).fit(logging(body), loader())
    assert seen.points("a") == [(i, float(i)) for i in range(4)]


def test_what_is_logged_holds_no_graph():
    class Kept(Regression):
        def training_step(self, batch, batch_idx):
            loss = self.error(batch)
            self.log("loss", loss)
            [series] = self._results.scope.series.values()
            assert not any(getattr(value, "requires_grad", False) for value in series.pending)
            return loss

    trainer().fit(Kept(), loader())


def test_integers_bools_and_one_element_tensors_are_numbers():
    def body(module, batch, batch_idx):
        module.log_dict({"int": 3, "bool": True, "shaped": torch.tensor([2.5]), "half": torch.tensor(1.5).bfloat16()})
        module.log("count", torch.tensor(7))

    fit = trainer()
    fit.fit(logging(body), loader())
    found = {name: float(value) for name, value in fit.callback_metrics.items()}
    assert found == {"int": 3.0, "bool": 1.0, "shaped": 2.5, "half": 1.5, "count": 7.0}


def test_torchmetrics_objects_are_computed_at_the_epochs_end_and_reset():
    from torchmetrics import MeanMetric, MetricCollection

    class Measured(Validated):
        def __init__(self):
            super().__init__()
            self.mean, self.val = MeanMetric(), MeanMetric()
            self.both = MetricCollection({"one": MeanMetric(), "two": MeanMetric()})

        def training_step(self, batch, batch_idx):
            self.mean(float(batch_idx))
            self.log("mean", self.mean, on_step=True, on_epoch=True)
            return self.error(batch)

        def validation_step(self, batch, batch_idx):
            self.val.update(float(batch_idx + self.current_epoch))
            self.log("val", self.val)
            self.both.update(2.0)
            self.log_dict(self.both)

    seen, fit = Collector(), trainer(max_epochs=2)
    fit.observers.append(seen)
    fit.fit(Measured(), loader(), loader())
    assert seen.points("mean_step") == [(step, float(step % 4)) for step in range(8)]
    assert seen.points("mean_epoch") == [(3, 1.5), (7, 1.5)]
    assert seen.points("val") == [(3, 1.5), (7, 2.5)]
    assert seen.points("two") == [(3, 2.0), (7, 2.0)]


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        (lambda m, b, i: m.log("a", "text"), ValueError, "`str` values cannot be logged"),
        (lambda m, b, i: m.log("a", {"b": 1}), ValueError, "`dict` values cannot be logged"),
        (lambda m, b, i: m.log("a", torch.ones(2)), ValueError, "must have a single element"),
        (lambda m, b, i: m.log(3, 1.0), TypeError, "must be a name"),
        (lambda m, b, i: m.log("a", 1.0, reduce_fx="median"), L.MisconfigurationException, "reduce_fx"),
        (lambda m, b, i: m.log("a/dataloader_idx_0", 1.0), L.MisconfigurationException, "with the key"),
        (lambda m, b, i: [m.log("a", 1.0, prog_bar=bar) for bar in (0, 1)], L.MisconfigurationException, "twice in"),
    ],
)
def test_what_can_not_be_logged_is_refused(body, error, words):
    with pytest.raises(error, match=words):
        trainer().fit(logging(body), loader())


@pytest.mark.parametrize("hook", ["on_fit_start", "setup", "on_train_end", "on_validation_end"])
def test_some_hooks_can_not_log(hook):
    class Early(L.Callback):
        pass

    setattr(Early, hook, lambda self, trainer, module, stage=None: module.log("a", 1.0))
    with pytest.raises(L.MisconfigurationException, match=r"You can't `self\.log\(\)`"):
        trainer(callbacks=Early(), num_sanity_val_steps=1).fit(Validated(), loader(), loader())


def test_an_epochs_hook_can_not_log_by_step():
    class Late(Regression):
        def on_train_epoch_end(self):
            self.log("a", 1.0, on_step=True)

    with pytest.raises(L.MisconfigurationException, match="on_step=True"):
        trainer().fit(Late(), loader())


def test_the_same_key_in_two_hooks_is_two_series():
    class Twice(Regression):
        def on_train_epoch_end(self):
            self.log("loss", 5.0)

    fit = trainer()
    fit.fit(Twice(), loader())
    assert float(fit.callback_metrics["loss"]) == 5.0


def test_without_a_trainer_logging_warns():
    with pytest.warns(UserWarning, match="reference is not registered on the model"):
        Regression().log("a", 1.0)


def test_callbacks_see_metrics_at_once():
    class Asking(L.Callback):
        seen = []

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            self.seen.append((float(trainer.callback_metrics["a"]), float(outputs["loss"])))

    fit, collector = trainer(callbacks=Asking()), Collector()
    fit.observers.append(collector)
    fit.fit(logging(lambda m, b, i: m.log("a", float(i))), loader())
    assert [value for value, _ in Asking.seen] == [0.0, 1.0, 2.0, 3.0]
    assert collector.points("a") == [(i, float(i)) for i in range(4)]  # asking takes nothing from observers


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_warned_of_once_with_its_step(bad):
    class Exploding(Regression):
        def training_step(self, batch, batch_idx):
            loss = self.error(batch)
            return loss * bad if batch_idx >= 2 else loss

    seen, fit = Collector(), trainer(max_epochs=2)
    fit.observers.append(seen)
    with pytest.warns(UserWarning, match=f"the loss is {'NaN' if math.isnan(bad) else 'infinite'} at step 2") as caught:
        fit.fit(Exploding(), loader())
    [event] = [event for event in seen.events if isinstance(event, WarningRaised)]
    assert (len(caught), event.kind, event.step, event.epoch) == (1, "non-finite", 2, 0)
    assert fit.state.finished
    assert len(seen.points("loss")) == 8  # a module that logs nothing still shows its loss


def test_under_accumulation_loggers_get_the_last_micro_batch_of_each_step(tmp_path):
    seen = Collector()
    fit = trainer(tmp_path, logger=seen, log_every_n_steps=1, accumulate_grad_batches=3, val_check_interval=1)

    class Counting(Validated):
        def training_step(self, batch, batch_idx):
            self.log("a", float(batch_idx))
            return self.error(batch)

        def validation_step(self, batch, batch_idx):
            pass

    fit.fit(Counting(), loader(samples=10), loader())  # 5 batches, read at each by the validation after it
    assert seen.rows == [(0, {"a": 2.0, "epoch": 0}), (1, {"a": 4.0, "epoch": 0})]


def test_values_by_validation_step_count_on_over_passes_and_leave_the_sanity_check_out(tmp_path):
    seen = Collector()

    class Stepwise(Validated):
        def validation_step(self, batch, batch_idx):
            self.log("v", float(batch_idx), on_step=True)

        def training_step(self, batch, batch_idx):
            return self.error(batch)

    fit = trainer(tmp_path, logger=seen, max_epochs=2, num_sanity_val_steps=2)
    fit.fit(Stepwise(), loader(), loader(4))
    by_step = [row for row in seen.rows if "v_step" in row[1]]
    assert by_step == [(step, {"v_step": float(step % 2)}) for step in range(4)]


def test_a_module_may_log_its_own_axis(tmp_path):
    seen = Collector()

    def body(module, batch, batch_idx):
        module.log_dict({"a": 1.0, "step": 100.0 + batch_idx})

    trainer(tmp_path, logger=seen, log_every_n_steps=1).fit(logging(body), loader())
    assert [step for step, _ in seen.rows] == [100, 101, 102, 103]


def test_an_observer_that_fails_is_reported_and_dropped():
    class Failing(Collector):
        def observe(self, event):
            raise OSError("no space")

    good, fit = Collector(), trainer()
    fit.observers += [Failing(), good]
    with pytest.warns(UserWarning, match="observer Failing failed and is left out: OSError") as caught:
        fit.fit(Regression(), loader())
    assert len(caught) == 1
    assert good.closed == 1
    assert type(good.events[-1]).__name__ == "RunEnded"
