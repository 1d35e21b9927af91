"""``Tuner.lr_find``: what it finds, and that a Trainer and a module are afterwards as before."""

from __future__ import annotations

import math
import sys

import pytest
import torch

import lit_studio as L
from lit_studio.pytorch.tuner import Tuner
from tests.unit.trainer.models import equal, loader, seeded, trainer, weights
from tests.unit.trainer.tuned import Checked, Scheduled, Sized, assert_same, whole_state


def test_rates_rise_as_planned_and_the_loss_is_smoothed(tmp_path):
    for mode, third in (("exponential", 1e-4 * 1e4 ** (3 / 50)), ("linear", 1e-4 + 3 / 50 * (1 - 1e-4))):
        module = seeded(Scheduled)
        found = Tuner(trainer(tmp_path, max_epochs=100)).lr_find(
            module, loader(32), mode=mode, min_lr=1e-4, num_training=50, early_stop_threshold=None
        )
        rates, losses = found.results["lr"], found.results["loss"]
        assert len(rates) == len(losses) == 50
        assert rates[0] == 1e-4
        assert rates[2] == pytest.approx(third)
        assert rates[-1] == pytest.approx(1.0)
        assert all(map(math.isfinite, losses))


def test_the_suggestion_is_where_the_loss_falls_fastest(tmp_path):
    module = seeded(Scheduled)
    found = Tuner(trainer(tmp_path, max_epochs=100)).lr_find(module, loader(64), update_attr=False, min_lr=1e-5)
    rates, losses = found.results["lr"], found.results["loss"]
    slopes = torch.gradient(torch.tensor(losses[10:-1]), spacing=[torch.tensor(rates[10:-1])])[0]
    assert found.suggestion() == rates[10 + int(slopes.argmin())]
    inner = torch.gradient(torch.tensor(losses[5:]), spacing=[torch.tensor(rates[5:])])[0]
    assert found.suggestion(skip_begin=5, skip_end=0) == rates[5 + int(inner.argmin())]
    assert module.lr == module.hparams.lr == 0.02


def test_too_few_losses_suggest_nothing_and_say_so(tmp_path, caplog):
    module = seeded(Scheduled)
    found = Tuner(trainer(tmp_path)).lr_find(module, loader(16), num_training=8)
    assert found.suggestion() is None
    assert "Failed to compute suggestion for learning rate because there are not enough points" in caplog.text
    assert module.lr == 0.02


def test_a_step_without_a_loss_leaves_a_gap(tmp_path):
    class Gaps(Scheduled):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            return None if batch_idx == 3 else loss

    with pytest.warns(UserWarning, match="returned `None`"):
        found = Tuner(trainer(tmp_path, max_epochs=10)).lr_find(seeded(Gaps), loader(64), num_training=32)
    losses = found.results["loss"]
    assert math.isnan(losses[3])
    assert sum(map(math.isnan, losses)) == 1
    assert found.suggestion() is not None


def test_a_loss_that_runs_away_ends_the_test(tmp_path, caplog):
    caplog.set_level("INFO", "lit_studio")
    settings = {"max_lr": 1e6, "min_lr": 1e-3}
    few = Tuner(trainer(tmp_path, max_epochs=100)).lr_find(seeded(Scheduled), loader(64), **settings)
    assert len(few.results["lr"]) < 100
    assert "stopped early" in caplog.text
    assert "diverging loss" in caplog.text
    every = Tuner(trainer(tmp_path, max_epochs=100)).lr_find(
        seeded(Scheduled), loader(64), early_stop_threshold=None, **settings
    )
    assert len(every.results["lr"]) == 100


def test_a_fit_that_is_too_short_for_the_test_is_explained(tmp_path, caplog):
    caplog.set_level("INFO", "lit_studio")
    found = Tuner(trainer(tmp_path, max_epochs=2)).lr_find(seeded(Scheduled), loader(32), num_training=100)
    assert len(found.results["lr"]) == 32
    assert "after 32 of 100 steps" in caplog.text
    assert "diverging" not in caplog.text


def test_micro_batches_of_one_step_share_a_rate(tmp_path):
    t = trainer(tmp_path, max_epochs=10, accumulate_grad_batches=2)
    found = Tuner(t).lr_find(seeded(Scheduled), loader(256, 8), num_training=40)
    assert len(found.results["lr"]) == len(set(found.results["lr"])) == 40


def test_nothing_but_the_rate_has_changed(tmp_path):
    torch.manual_seed(1)  # the order of the samples
    callback, logger = L.callbacks.Timer(), L.loggers.CSVLogger(tmp_path / "logs")
    t = trainer(tmp_path, max_epochs=5, callbacks=[callback], logger=logger)
    module = seeded(Checked)
    before = whole_state(t, module)
    found = Tuner(t).lr_find(module, loader(256, 8, shuffle=True), loader(8))
    assert_same(before, whole_state(t, module))
    assert module.lr == module.hparams.lr == found.suggestion()
    assert not list(tmp_path.rglob("*.ckpt"))
    assert not (tmp_path / "logs").exists()


def test_the_fit_afterwards_is_the_one_that_would_have_been(tmp_path):
    def fit(tunes):
        torch.manual_seed(5)
        module = seeded(Checked)
        t = trainer(tmp_path, max_epochs=3)
        if tunes:
            Tuner(t).lr_find(module, loader(64, shuffle=True), loader(8), update_attr=False)
        t.fit(module, loader(64, shuffle=True), loader(8))
        return t.global_step, t.current_epoch, weights(module)

    plain, tuned = fit(False), fit(True)
    assert plain[:2] == tuned[:2] == (96, 3)
    assert equal(plain[2], tuned[2])


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_everything_is_put_back_after_an_error_too(tmp_path, error):
    class Failing(Checked):
        def training_step(self, batch, batch_idx):
            if len(self.seen) == 12:
                raise error("in the middle")
            return super().training_step(batch, batch_idx)

    t, module = trainer(tmp_path, max_epochs=5), seeded(Failing)
    before = whole_state(t, module)
    with pytest.raises(SystemExit if error is KeyboardInterrupt else error):
        Tuner(t).lr_find(module, loader(64), loader(8))
    assert len(module.seen) == 12
    assert_same(before, whole_state(t, module))
    assert not list(tmp_path.rglob("*.ckpt"))


def test_state_that_a_module_keeps_in_checkpoints_comes_back(tmp_path):
    class Counting(Scheduled):
        steps = 0

        def training_step(self, batch, batch_idx):
            self.steps += 1
            return super().training_step(batch, batch_idx)

        def on_save_checkpoint(self, checkpoint):
            checkpoint["steps"] = self.steps

        def on_load_checkpoint(self, checkpoint):
            self.steps = checkpoint["steps"]

    module = seeded(Counting)
    Tuner(trainer(tmp_path, max_epochs=5)).lr_find(module, loader(64), num_training=20)
    assert len(module.seen) == 20
    assert module.steps == 0


def test_manual_optimization_is_tested_at_rising_rates_too(tmp_path):
    class Manual(Scheduled):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.rates = []

        def training_step(self, batch, batch_idx):
            optimizer = self.optimizers()
            loss = super().training_step(batch, batch_idx)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            self.rates.append(optimizer.param_groups[0]["lr"])
            return {"loss": loss.detach()}

    module = seeded(Manual)
    found = Tuner(trainer(tmp_path, max_epochs=5)).lr_find(module, loader(64), num_training=30)
    assert module.rates == found.results["lr"]
    assert len(set(module.rates)) == 30


@pytest.mark.parametrize(
    ("problem", "kwargs", "error", "words"),
    [
        ("method", {"method": "validate"}, L.MisconfigurationException, "method='fit' is the only valid"),
        ("mode", {"mode": "cubic"}, ValueError, "`mode` should be either of"),
        ("rates", {"min_lr": 1.0, "max_lr": 0.1}, ValueError, "must rise"),
        ("steps", {"num_training": 0}, ValueError, "needs steps"),
        ("loaders", {"dataloaders": [1]}, L.MisconfigurationException, "`dataloaders` argument should be None"),
        ("attribute", {"attr_name": "rate"}, AttributeError, "was set to rate"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(tmp_path, problem, kwargs, error, words):
    module = seeded(Scheduled)
    with pytest.raises(error, match=words):
        Tuner(trainer(tmp_path)).lr_find(module, loader(8), **kwargs)
    assert module.seen == []


def test_a_module_without_a_rate_or_with_two_optimizers_is_refused(tmp_path):
    class Nameless(Scheduled):
        def __init__(self):
            super().__init__()
            del self.lr
            self._hparams.clear()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    class Two(Scheduled):
        automatic_optimization = False

        def configure_optimizers(self):
            return [torch.optim.SGD(self.parameters(), lr=0.1) for _ in range(2)]

    with pytest.raises(AttributeError, match="should have one of these fields"):
        Tuner(trainer(tmp_path)).lr_find(seeded(Nameless), loader(8))
    with pytest.raises(L.MisconfigurationException, match="only works with single optimizer"):
        Tuner(trainer(tmp_path)).lr_find(seeded(Two), loader(8))


def test_a_trainer_with_a_finder_of_its_own_is_refused(tmp_path):
    finders = [L.callbacks.LearningRateFinder(), L.callbacks.BatchSizeFinder()]
    tuner = Tuner(trainer(tmp_path, callbacks=finders))
    with pytest.raises(ValueError, match="already configured with a `LearningRateFinder`"):
        tuner.lr_find(seeded(Sized))
    with pytest.raises(ValueError, match="already configured with a `BatchSizeFinder`"):
        tuner.scale_batch_size(seeded(Sized))


def test_under_fast_dev_run_nothing_is_tried(tmp_path):
    tuner = Tuner(trainer(tmp_path, fast_dev_run=True))
    module = seeded(Sized)
    with pytest.warns(UserWarning, match="Skipping learning rate finder"):
        assert tuner.lr_find(module) is None
    with pytest.warns(UserWarning, match="Skipping batch size scaler"):
        assert tuner.scale_batch_size(module) is None
    assert module.sizes == []


def test_a_range_test_is_plotted_and_shows_itself_in_a_cell(tmp_path):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    found = Tuner(trainer(tmp_path, max_epochs=100)).lr_find(seeded(Scheduled), loader(64), min_lr=1e-5)
    figure = found.plot(suggest=True)
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert list(axes.lines[0].get_xdata()) == found.results["lr"]
    assert list(axes.lines[1].get_xdata()) == [found.suggestion()]
    _, mine = pyplot.subplots()
    assert found.plot(ax=mine) is mine.figure
    assert len(mine.lines) == 1
    pyplot.close("all")
    page = found._repr_html_()
    assert page.count("<circle") == 1
    assert f"{found.suggestion():.3g}" in page


def test_plotting_without_matplotlib_names_the_extra(tmp_path, monkeypatch):
    found = Tuner(trainer(tmp_path, max_epochs=10)).lr_find(seeded(Scheduled), loader(64), num_training=20)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(L.MissingDependencyError, match=r"lit-studio\[plot\]"):
        found.plot()
