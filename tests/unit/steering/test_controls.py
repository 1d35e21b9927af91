"""The controls of a running trainer, from Python and through the inbox: what each does, and what it leaves alone."""

from __future__ import annotations

import threading

import pytest
import torch

import lit_studio as L
from lit_studio.base.errors import InvalidStateError, InvalidValueError
from lit_studio.base.events import CheckpointSaved, CommandApplied, MetricsLogged, Paused, Resumed, RunEnded
from lit_studio.base.runs import COMMANDS
from tests.unit.trainer.models import Regression, Validated, loader, trainer
from tests.unit.trainer.test_commands import commanded, events, wait_until
from tests.unit.trainer.test_log import Collector


class At(L.Callback):
    """Calls ``act`` once, after ``step`` batches of training."""

    def __init__(self, step, act):
        self.step, self.act, self.hooks, self.validated = step, act, [], []

    def on_train_batch_end(self, trainer, *_):
        if trainer.fit_loop.position.batches_begun + trainer.fit_loop.position.earlier_batches == self.step:
            self.act(trainer)

    def on_validation_start(self, trainer, module):
        if not trainer.sanity_checking:
            self.validated.append(trainer.global_step)

    def on_train_epoch_end(self, *_):
        self.hooks.append("on_train_epoch_end")

    def on_train_end(self, *_):
        self.hooks.append("on_train_end")

    def teardown(self, trainer, module, stage):
        self.hooks.append("teardown")


def steered(step, act, val=None, tmp_path=None, module=None, samples=400, **settings):
    """Fit one epoch of ``samples`` / 4 batches, with ``act`` after ``step`` of them."""
    seen, at = Collector(), At(step, act)
    fit = trainer(tmp_path, observers=[seen], callbacks=[at], **settings)
    fit.fit(module or (Validated if val else Regression)(), loader(samples=samples, batch_size=4), val)
    return fit, seen, at


def applied(seen):
    return [(event.name, event.detail) for event in events(seen, CommandApplied)]


def test_abort_ends_in_the_middle_of_an_accumulation_and_saves_nothing(tmp_path):
    fit, seen, at = steered(
        7, L.Trainer.abort, loader(), tmp_path, accumulate_grad_batches=5, logger=True, enable_checkpointing=None
    )
    assert fit.fit_loop.position.batches_done == 7
    assert fit.global_step == 1  # the second accumulation was not finished
    assert (fit.interrupted, fit.aborted, fit.should_stop) == (True, True, True)
    assert applied(seen) == [("abort", "nothing was saved")]
    assert (at.hooks, at.validated) == (["teardown"], [])
    assert events(seen, CheckpointSaved) == []
    assert list(tmp_path.rglob("*.ckpt")) == []
    [end] = events(seen, RunEnded)
    assert (end.state, end.step) == ("stopped", 1)
    assert fit.observation.run.status().state == "stopped"
    fit.fit(Regression(), loader())
    assert (fit.interrupted, fit.aborted) == (False, False)


def test_abort_ends_a_validation_between_two_batches_and_leaves_the_module_training():
    class Slow(Validated):
        batches = 0

        def validation_step(self, batch, batch_idx):
            self.batches += 1
            if self.batches == 3:
                self.trainer.abort()
            return super().validation_step(batch, batch_idx)

    module, seen = Slow(), Collector()
    fit = trainer(observers=[seen], num_sanity_val_steps=0)
    fit.fit(module, loader(), loader(samples=4000))
    assert module.batches == 3
    assert module.training
    assert all(part.training for part in module.modules())
    assert fit.interrupted
    names = {point.name for event in events(seen, MetricsLogged) for point in event.points}
    assert not any(name.startswith("val") for name in names), "an average over a part would be taken for the whole"


def test_abort_is_heard_in_a_pause():
    def script(person):
        person.send("pause")
        wait_until(lambda: person.fit.observation.run.status().state == "paused")
        person.send("abort")

    fit, seen = commanded(script)
    assert fit.aborted
    assert [event.name for event in events(seen, CommandApplied)] == ["pause", "abort"]


@pytest.mark.parametrize("accumulate", [1, 4])
def test_validate_now_comes_at_the_next_step_and_leaves_the_schedule_alone(accumulate):
    settings = {"val_check_interval": 40, "accumulate_grad_batches": accumulate}
    _, seen, at = steered(10, L.Trainer.validate_now, loader(samples=16), **settings)
    steps = [step * accumulate for step in at.validated]
    assert len(steps) == 3
    assert 10 < steps[0] <= 10 + 2 * accumulate
    assert steps[1:] == [40, 80]
    assert applied(seen) == [("validate", "")]


def test_validate_now_in_a_validation_is_that_validation():
    class Eager(Validated):
        def validation_step(self, batch, batch_idx):
            if batch_idx == 0 and not self.trainer.sanity_checking:
                self.trainer.validate_now()
            return super().validation_step(batch, batch_idx)

    _, seen, at = steered(-1, None, loader(samples=2000), module=Eager(), num_sanity_val_steps=0)
    assert len(at.validated) == 1
    assert applied(seen) == [("validate", "it was under way")]


def test_validate_now_works_where_epochs_without_validation_are():
    _, _, at = steered(10, L.Trainer.validate_now, loader(samples=16), check_val_every_n_epoch=7)
    assert len(at.validated) == 1


def test_learning_rates_from_python_by_number_and_factor_and_back():
    def act(fit):
        fit.set_learning_rate(1e-3)
        fit.set_learning_rate(factor=0.5)
        fit.undo_learning_rate()

    fit, seen, _ = steered(10, act, module=Regression(lr=1e-2))
    assert fit.optimizers[0].param_groups[0]["lr"] == 1e-3
    assert applied(seen) == [
        ("set_lr", "lr 0.01 → 0.001"),
        ("set_lr", "lr 0.001 → 0.0005"),
        ("undo_lr", "lr 0.0005 → 0.001"),
    ]


@pytest.mark.parametrize(
    "arguments", [{}, {"value": -1}, {"value": float("nan")}, {"value": 1e-3, "factor": 2}, {"factor": 0}]
)
def test_a_rate_that_makes_no_sense_is_told_at_once(arguments):
    def act(fit):
        with pytest.raises(InvalidValueError):
            fit.set_learning_rate(**arguments)

    _, seen, _ = steered(2, act)
    assert applied(seen) == []


def test_pause_and_resume_from_another_thread():
    noted = {}

    def act(fit):
        fit.pause()

        def person():
            wait_until(lambda: fit.observation.run.status().state == "paused")
            noted["paused"] = fit.global_step
            fit.resume()

        noted["thread"] = threading.Thread(target=person)
        noted["thread"].start()

    fit, seen, _ = steered(5, act)
    noted["thread"].join(10)
    assert noted["paused"] <= 6
    assert fit.global_step == 100
    assert [len(events(seen, kind)) for kind in (Paused, Resumed)] == [1, 1]


def test_stop_and_save_from_python(tmp_path):
    def act(fit):
        fit.save_now()
        fit.stop()

    fit, seen, at = steered(5, act, tmp_path=tmp_path, logger=True, enable_checkpointing=None)
    first, second = events(seen, CheckpointSaved)[:2]
    assert (first.reason, second.reason) == ("user", "stop")
    assert first.step <= 6
    assert fit.interrupted
    assert not fit.aborted
    assert at.hooks[-2:] == ["on_train_end", "teardown"]
    assert torch.load(first.path, weights_only=True)["global_step"] == first.step


def test_nothing_can_be_asked_of_a_trainer_that_does_nothing():
    fit = trainer()
    with pytest.raises(InvalidStateError, match="Nothing is going on"):
        fit.pause()
    fit.fit(Regression(), loader())
    with pytest.raises(InvalidStateError, match="Nothing is going on"):
        fit.set_learning_rate(0.1)


def test_the_status_lists_what_the_run_understands(tmp_path):
    listed = {}
    fit, _, _ = steered(2, lambda fit: listed.update(fit=fit.observation.run.status().commands), loader(), tmp_path)
    assert listed["fit"] == list(COMMANDS)
    alone, _, _ = steered(2, lambda fit: listed.update(alone=fit.observation.run.status().commands))
    assert set(COMMANDS) - set(listed["alone"]) == {"validate"}

    class Asking(Regression):
        def test_step(self, batch, batch_idx):
            with pytest.raises(InvalidStateError, match="can't be asked to save"):
                self.trainer.save_now()
            listed["test"] = self.trainer.observation.run.status().commands
            return super().test_step(batch, batch_idx)

    fit.test(Asking(), loader(), verbose=False)
    assert listed["test"] == ["pause", "resume", "stop", "abort"]


def test_a_run_without_a_record_can_be_steered_too():
    fit = L.Trainer(barebones=True, max_epochs=1, accelerator="cpu", callbacks=[])
    module = Regression()
    module.on_train_batch_end = lambda outputs, batch, batch_idx: fit.stop() if batch_idx == 3 else None
    fit.fit(module, loader(samples=40_000))
    assert fit.interrupted
    assert fit.global_step < 10_000
