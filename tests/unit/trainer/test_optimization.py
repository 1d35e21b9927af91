"""Steps equal a hand-written loop bit for bit; optimizers and schedulers in all their forms."""

from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

import lit_studio as L
from lit_studio.steering.rates import set_learning_rate
from lit_studio.trainer.optimization import LRSchedulerConfig, take_apart
from tests.unit.trainer.models import Regression, Validated, equal, loader, seeded, trainer, weights


def by_hand(module, batches, epochs=1, accumulate=1, clip=None, make=None, schedule=None):
    """What a person would write instead of ``fit``; the weights."""
    optimizer = (make or (lambda p: torch.optim.SGD(p, lr=0.05)))(module.parameters())
    scheduler = schedule(optimizer) if schedule else None
    for _ in range(epochs):
        for i, batch in enumerate(batches):
            if i % accumulate == 0:
                optimizer.zero_grad()
            loss = module.error(batch)
            (loss if accumulate == 1 else loss / accumulate).backward()
            if (i + 1) % accumulate == 0 or i + 1 == len(batches):
                if clip is not None:
                    clip(list(module.parameters()))
                optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return weights(module)


def using(make, schedule=None):
    """A Regression with these optimizers."""

    class Custom(Regression):
        def configure_optimizers(self):
            optimizer = make(self.parameters())
            return ([optimizer], [schedule(optimizer)]) if schedule else optimizer

    return Custom


ADAM = {"make": lambda p: torch.optim.AdamW(p, lr=0.01)}
MOMENTUM = {"make": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)}


@pytest.mark.parametrize(
    ("settings", "hand", "parts"),
    [
        ({}, {}, ADAM),
        ({"max_epochs": 3}, {"epochs": 3}, {**MOMENTUM, "schedule": lambda o: ExponentialLR(o, 0.5)}),
        ({"max_epochs": 2, "accumulate_grad_batches": 3}, {"epochs": 2, "accumulate": 3}, ADAM),
        ({"gradient_clip_val": 0.1}, {"clip": lambda p: torch.nn.utils.clip_grad_norm_(p, 0.1)}, MOMENTUM),
        (
            {"gradient_clip_val": 0.1, "gradient_clip_algorithm": "value", "accumulate_grad_batches": 2},
            {"clip": lambda p: torch.nn.utils.clip_grad_value_(p, 0.1), "accumulate": 2},
            MOMENTUM,
        ),
    ],
    ids=["adamw", "schedule", "accumulation", "norm", "value and accumulation"],
)
def test_a_fit_equals_the_hand_written_loop_bit_for_bit(settings, hand, parts):
    kind = using(**parts)
    module = seeded(kind)
    trainer(**settings).fit(module, loader())
    assert equal(weights(module), by_hand(seeded(kind), loader(), **hand, **parts))
    assert not equal(weights(module), weights(seeded(kind)))


def test_a_validation_within_an_accumulation_leaves_the_gradients_alone():
    module = seeded(Validated)
    trainer(accumulate_grad_batches=4, val_check_interval=1).fit(module, loader(), loader())
    assert equal(weights(module), by_hand(seeded(Validated), loader(), accumulate=4))


def test_lbfgs_gets_its_closure_and_calls_it_many_times():
    class Counted(using(lambda p: torch.optim.LBFGS(p, lr=0.5, max_iter=5))):
        calls = 0

        def training_step(self, batch, batch_idx):
            self.calls += 1
            return super().training_step(batch, batch_idx)

    module, twin = seeded(Counted), seeded(Regression)
    fit = trainer()
    fit.fit(module, loader())
    assert module.calls > fit.global_step == 4
    optimizer = torch.optim.LBFGS(twin.parameters(), lr=0.5, max_iter=5)
    for batch in loader():

        def closure(batch=batch):
            optimizer.zero_grad()
            loss = twin.error(batch)
            loss.backward()
            return loss

        optimizer.step(closure)
    assert equal(weights(module), weights(twin))


def test_an_optimizer_from_elsewhere_is_given_the_closure():
    class Foreign(torch.optim.SGD):
        closures = 0

        def step(self, closure=None):
            Foreign.closures += closure is not None
            return super().step(closure)

    trainer().fit(using(lambda p: Foreign(p, lr=0.1))(), loader())
    assert Foreign.closures == 4


def test_the_modules_own_optimizer_step_zero_grad_and_clipping_are_used():
    seen = []

    class Own(Regression):
        def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
            seen.append(("step", epoch, batch_idx, isinstance(optimizer, torch.optim.SGD)))
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

        def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
            seen.append(("zero", batch_idx))
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

        def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None):
            seen.append(("clip", gradient_clip_val))
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

        def backward(self, loss):
            seen.append("backward")
            super().backward(loss)

    module, fit = seeded(Own), trainer(gradient_clip_val=0.1)
    fit.fit(module, loader())
    assert seen[:4] == [("step", 0, 0, True), ("zero", 0), "backward", ("clip", 0.1)]
    hand = by_hand(seeded(Regression), loader(), clip=lambda p: torch.nn.utils.clip_grad_norm_(p, 0.1))
    assert equal(weights(module), hand)
    assert fit.global_step == 4


def test_none_skips_backward_and_still_counts_the_step():
    class Skipping(Regression):
        def training_step(self, batch, batch_idx):
            return None if batch_idx == 1 else super().training_step(batch, batch_idx)

    module, fit = seeded(Skipping), trainer()
    with pytest.warns(UserWarning, match="returned `None`") as caught:
        fit.fit(module, loader())
    assert len(caught) == 1
    batches = list(loader())
    assert equal(weights(module), by_hand(seeded(Regression), [batches[0], *batches[2:]]))
    assert fit.global_step == 4


def test_no_optimizer_is_allowed_and_trains_nothing():
    class Still(Regression):
        def configure_optimizers(self):
            return None

    module, fit = seeded(Still), trainer()
    with pytest.warns(UserWarning, match="this fit will run with no optimizer"):
        fit.fit(module, loader())
    assert equal(weights(module), weights(seeded(Still)))
    assert "loss" in fit.callback_metrics


class Adversarial(L.LightningModule):
    """Two optimizers in turn, by hand."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.first, self.second = torch.nn.Linear(4, 1), torch.nn.Linear(4, 1)
        self.required = []

    def training_step(self, batch, batch_idx):
        x, y = batch
        optimizers = self.optimizers()
        for layer, optimizer in zip((self.first, self.second), optimizers, strict=True):
            with optimizer.toggle_model():
                self.required.append([p.requires_grad for p in (self.first.weight, self.second.weight)])
                optimizer.zero_grad()
                self.manual_backward((layer(x) - y).square().mean())
                self.clip_gradients(optimizer, 0.5, "norm")
                optimizer.step()
        if self.trainer.is_last_batch:
            self.lr_schedulers().step()

    def configure_optimizers(self):
        first, second = torch.optim.SGD(self.first.parameters(), lr=0.1), torch.optim.Adam(self.second.parameters())
        return [first, second], [StepLR(first, 1, gamma=0.1)]


def test_manual_optimization_with_two_optimizers_equals_the_hand_written_loop():
    module, twin, fit = seeded(Adversarial), seeded(Adversarial), trainer(max_epochs=2)
    fit.fit(module, loader())
    first, second = torch.optim.SGD(twin.first.parameters(), lr=0.1), torch.optim.Adam(twin.second.parameters())
    for _ in range(2):
        for x, y in loader():
            for layer, optimizer in ((twin.first, first), (twin.second, second)):
                optimizer.zero_grad()
                (layer(x) - y).square().mean().backward()
                torch.nn.utils.clip_grad_norm_(layer.parameters(), 0.5)
                optimizer.step()
        first.param_groups[0]["lr"] *= 0.1
    assert equal(weights(module), weights(twin))
    assert fit.global_step == 16  # each optimizer's steps count
    assert module.required[:2] == [[True, False], [False, True]]
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_the_wrapped_optimizer_passes_for_the_real_one():
    module, fit = Adversarial(), trainer()
    fit.fit(module, loader())
    first, second = module.optimizers()
    assert isinstance(first, torch.optim.SGD)
    assert isinstance(second, torch.optim.Adam)
    assert first.param_groups is fit.optimizers[0].param_groups
    assert module.optimizers(use_pl_optimizer=False) == fit.optimizers


def scheduled(schedulers, optimizers=1):
    class Scheduled(Validated):
        def configure_optimizers(self):
            return schedulers(torch.optim.SGD(self.parameters(), lr=1.0))

    return Scheduled()


@pytest.mark.parametrize(
    ("form", "rate"),
    [
        (lambda o: {"optimizer": o, "lr_scheduler": StepLR(o, 1)}, 0.01),
        (lambda o: [{"optimizer": o, "lr_scheduler": {"scheduler": StepLR(o, 1), "interval": "step"}}], 1e-8),
        (lambda o: ([o], [{"scheduler": StepLR(o, 1), "interval": "step", "frequency": 2}]), 1e-4),
        (lambda o: ([o], [{"scheduler": StepLR(o, 1), "frequency": 2}]), 0.1),
        (lambda o: ([o], StepLR(o, 2)), 0.1),
        (lambda o: [o], 1.0),
        (lambda o: (o,), 1.0),
        (lambda o: {"optimizer": o}, 1.0),
    ],
)
def test_every_form_of_optimizer_and_scheduler(form, rate):
    fit = trainer(max_epochs=2)
    fit.fit(scheduled(form), loader(), loader())
    assert fit.optimizers[0].param_groups[0]["lr"] == pytest.approx(rate)


def test_a_plateau_takes_the_metric_after_validation():
    class Flat(Validated):
        def validation_step(self, batch, batch_idx):
            self.log("flat", 1.0)

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
            plateau = ReduceLROnPlateau(optimizer, patience=0)
            return {"optimizer": optimizer, "lr_scheduler": plateau, "monitor": "flat"}

    fit = trainer(max_epochs=3)
    fit.fit(Flat(), loader(), loader())
    assert fit.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (lambda o: ([o], [{"interval": "step"}]), '"scheduler"'),
        (lambda o: ([o], [{"scheduler": StepLR(o, 1), "interval": "batch"}]), '"interval"'),
        (lambda o: ([o], [{"scheduler": StepLR(o, 1), "frequency": 0}]), '"frequency"'),
        (lambda o: ([o], [ReduceLROnPlateau(o)]), "must include a monitor"),
        (lambda o: ([o], ["cosine"]), "LRScheduler API"),
        (lambda o: "sgd", "Unknown configuration"),
        (lambda o: {"lr_scheduler": StepLR(o, 1)}, "under the key 'optimizer'"),
        (lambda o: ([torch.optim.SGD(o.param_groups[0]["params"], lr=1)], [StepLR(o, 1)]), "wasn't returned"),
        (
            lambda o: {"optimizer": o, "lr_scheduler": ReduceLROnPlateau(o), "monitor": "gone"},
            "gone which is not avail",
        ),
    ],
)
def test_wrong_forms_are_refused_with_a_reason(form, words):
    with pytest.raises(L.MisconfigurationException, match=words):
        trainer().fit(scheduled(form), loader(), loader())


def test_unknown_keys_are_warned_of():
    with pytest.warns(RuntimeWarning, match="unsupported keys"):
        trainer().fit(scheduled(lambda o: ([o], [{"scheduler": StepLR(o, 1), "when": 1}])), loader(), loader())


def test_a_scheduler_of_any_kind_works_with_the_modules_own_hook():
    class Halving:
        def __init__(self, optimizer):
            self.optimizer = optimizer

        def state_dict(self):
            return {}

    class Own(Regression):
        def lr_scheduler_step(self, scheduler, metric):
            scheduler.optimizer.param_groups[0]["lr"] /= 2

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
            return [optimizer], [Halving(optimizer)]

    fit = trainer(max_epochs=2)
    fit.fit(Own(), loader())
    assert fit.optimizers[0].param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize("argument", ["gradient_clip_val", "accumulate_grad_batches"])
def test_manual_optimization_refuses_what_the_loop_can_not_do_for_it(argument):
    with pytest.raises(L.MisconfigurationException, match="not supported for manual optimization"):
        trainer(**{argument: 2}).fit(Adversarial(), loader())


def test_manual_backward_needs_manual_optimization():
    class Confused(Regression):
        def training_step(self, batch, batch_idx):
            self.manual_backward(self.error(batch))

    with pytest.raises(L.MisconfigurationException, match="automatic_optimization"):
        trainer().fit(Confused(), loader())


def test_take_apart_leaves_what_it_is_given_alone():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    given = ([optimizer], [StepLR(optimizer, 1)])
    optimizers, schedulers, monitor = take_apart(given)
    optimizers.clear()
    schedulers.clear()
    assert (len(given[0]), len(given[1]), monitor) == (1, 1, None)


@pytest.mark.parametrize(
    "schedule",
    [
        lambda o: StepLR(o, 3),
        lambda o: CosineAnnealingLR(o, 20),
        lambda o: ExponentialLR(o, 0.9),
        lambda o: OneCycleLR(o, 1.0, total_steps=20),
        lambda o: SequentialLR(o, [ExponentialLR(o, 0.9), StepLR(o, 4)], milestones=[3]),
    ],
    ids=["step", "cosine", "exponential", "one cycle", "sequential"],
)
def test_a_persons_learning_rate_lasts_under_any_schedule(schedule):
    def run(halve):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
        scheduler, rates = schedule(optimizer), []
        for i in range(12):
            if halve and i == 2:
                now = optimizer.param_groups[0]["lr"]
                words = set_learning_rate([optimizer], [LRSchedulerConfig(scheduler)], now / 2, None)
                assert words == f"lr {now:g} → {now / 2:g}"
            optimizer.step()
            scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"])
        return rates

    plain, halved = run(False), run(True)
    assert halved[:2] == plain[:2]
    assert halved[2:] == pytest.approx([rate / 2 for rate in plain[2:]], rel=1e-6)


def test_one_group_can_be_set_alone_and_a_missing_one_is_refused():
    parameters = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [p]} for p in parameters], lr=0.5)
    assert set_learning_rate([optimizer], [], 0.1, 1) == "lr of group 1 0.5 → 0.1"
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.1]
    with pytest.raises(L.InvalidValueError, match="no such parameter group"):
        set_learning_rate([optimizer], [], 0.1, 2)


def test_a_step_without_a_loss_has_nothing_to_clip_by_value():
    class Sometimes(Regression):
        def training_step(self, batch, batch_idx):
            return None if batch_idx == 0 else super().training_step(batch, batch_idx)

    fit = trainer(gradient_clip_val=0.1, gradient_clip_algorithm="value")
    with pytest.warns(UserWarning, match="training_step` returned `None`"):
        fit.fit(seeded(Sometimes), loader())
    assert fit.global_step == 4
