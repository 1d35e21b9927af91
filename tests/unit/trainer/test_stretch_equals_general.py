"""Random programs give the same whether their usual steps run in a stretch or one by one through the general path.

The general path is the one that other tests compare with Lightning and with loops by hand; a stretch leaves out what
it has found to be idle, and must find that rightly. Each program is drawn from a seed: its data, bounds, hooks,
schedulers, what goes wrong in the middle and when. Compared are the weights, counters, order of hooks with what they
saw, what loggers and the record got, and the error that came out.
"""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import lit_studio as L
from lit_studio.base.events import MetricsLogged, Progressed
from lit_studio.trainer import observation
from lit_studio.trainer.loop import FitLoop
from lit_studio.trainer.stretch import Stretch
from tests.unit.trainer import models

PROGRAMS, BLOCKS = 240, 6
BATCH_HOOKS = ("on_train_batch_start", "on_train_batch_end")
STEP_HOOKS = ("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step")
OTHER_HOOKS = ("on_train_epoch_start", "on_train_epoch_end", "on_validation_start", "on_validation_end")
CALLBACK_HOOKS = (*BATCH_HOOKS, *STEP_HOOKS, *OTHER_HOOKS, "on_exception", "on_train_end")
EVENTS = ("none", "skip", "stop", "fail", "person stops", "accumulate", "fewer steps", "look", "nan")


class Boom(Exception):
    """What goes wrong in some programs."""


class Unsized(IterableDataset):
    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self):
        return iter([self.dataset[i] for i in range(len(self.dataset))])


class Watching:
    """Collects what observers are told by name."""

    def __init__(self):
        self.points, self.samples = defaultdict(list), 0

    def observe(self, event):
        if isinstance(event, MetricsLogged):
            for points in event.points:
                told = zip(points.steps, points.values, strict=True)
                self.points[points.name] += [(step, f"{value:.9g}") for step, value in told]
        elif isinstance(event, Progressed):
            self.samples = event.samples

    def close(self):
        pass


class Rows(L.loggers.Logger):
    """Keeps what loggers are given."""

    def __init__(self):
        super().__init__()
        self.rows = []

    name = version = "rows"

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, {key: f"{float(value):.9g}" for key, value in metrics.items()}))

    def log_hyperparams(self, params):
        pass


def module_of(draw: random.Random, trace: list, happens) -> L.LightningModule:
    """A module with hooks, logs, schedulers and a kind of loss as ``draw`` says."""
    kind, logs = draw.choice(["tensor", "dict", "more"]), draw.sample(["a", "b", "c", "d"], draw.randint(0, 4))
    adam, schedule = draw.random() < 0.5, draw.choice([None, None, "step", "epoch", "plateau step", "plateau epoch"])
    frequency, takes_index, late_log = draw.randint(1, 3), draw.random() < 0.8, draw.random() < 0.4
    own_clip = draw.random() < 0.1
    hooks = hooks_of(draw, CALLBACK_HOOKS[:-2])
    how = {
        "a": {"prog_bar": True},
        "b": {"on_step": True, "on_epoch": True},
        "c": {"on_step": False, "on_epoch": True, "reduce_fx": "max"},
        "d": {"logger": False},
    }

    class Module(models.Validated):
        def compute(self, batch, batch_idx):
            here = happens(self, "training_step", batch_idx)
            trace.append(("training_step", batch_idx, self.global_step, self.current_epoch, here))
            if here == "none":
                return None
            loss = self.error(batch)
            if here == "nan":
                loss = loss * float("nan")
            for name in logs:
                self.log(name, loss * (1 + logs.index(name)), **how[name])
            outputs = {"loss": loss, "more": loss * 2, "batch_idx": batch_idx}
            return loss if kind == "tensor" else outputs if kind == "more" else {"loss": loss}

        if takes_index:

            def training_step(self, batch, batch_idx):
                return self.compute(batch, batch_idx)
        else:

            def training_step(self, batch):
                return self.compute(batch, self.trainer.fit_loop.batch_idx)

        def configure_optimizers(self):
            kinds = torch.optim.Adam if adam else torch.optim.SGD
            optimizer = kinds(self.parameters(), lr=self.lr)
            if schedule is None:
                return optimizer
            if "plateau" in schedule:
                scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
            else:
                scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.7)
            settings = {"scheduler": scheduler, "interval": schedule.split()[-1], "frequency": frequency}
            settings |= {"monitor": draw_monitor, "strict": False} if "plateau" in schedule else {}
            return {"optimizer": optimizer, "lr_scheduler": settings}

    draw_monitor = draw.choice(["val_loss", *logs])
    if own_clip:
        Module.configure_gradient_clipping = lambda self, optimizer, **_: trace.append(("clip", self.global_step))
    for hook in hooks:
        setattr(Module, hook, noting(trace, f"module {hook}", happens, late_log))
    return Module


def hooks_of(draw: random.Random, names) -> list[str]:
    """Some of ``names``; mostly without those that make a step more than usual."""
    unusual = (*STEP_HOOKS, "on_train_batch_start")
    strange = draw.random() < 0.15
    return [name for name in names if draw.random() < (0.4 if name not in unusual else 0.2 if strange else 0)]


def noting(trace, name, happens, logs=False):
    """A hook that notes that it ran, with what it saw, and lets happen what is due."""
    hook = name.split()[-1]

    def note(self, *args, **kwargs):
        module = self if isinstance(self, L.LightningModule) else args[1]
        seen = [sorted(arg) if isinstance(arg, dict) else arg for arg in args if isinstance(arg, int | dict)]
        loop = module.trainer.fit_loop
        trace.append((name, seen, module.global_step, module.current_epoch, loop.position.is_last_batch))
        trace.append((loop.batch_idx, loop.total_batch_idx, module.trainer.optimizers[0].param_groups[0]["lr"]))
        here = happens(module, hook, loop.batch_idx)
        if logs and hook == "on_train_batch_end":
            self.log("late", float(module.global_step))
        if here == "look":
            found = {key: f"{float(value):.9g}" for key, value in module.trainer.callback_metrics.items()}
            trace.append(("metrics", sorted(found.items())))
        return -1 if here == "skip" else None

    return note


def events_of(draw: random.Random, batches: int):
    """What happens where, as a function of the hook and the batch."""
    due = {}
    for _ in range(draw.choice([0, 1, 1, 2, 3, 4])):
        place = draw.choice(["training_step", *BATCH_HOOKS, "on_train_batch_end", "on_validation_end"])
        what = draw.choice(EVENTS)
        due[place, draw.randint(0, max(0, batches - 1)), draw.randint(0, 1)] = what

    def happens(module, hook, batch_idx):
        trainer = module.trainer
        what = due.get((hook, batch_idx, module.current_epoch))
        if what == "stop":
            trainer.should_stop = True
        elif what == "person stops":
            trainer.stopped_by_person = trainer.should_stop = True
        elif what == "fail":
            raise Boom(hook)
        elif what == "accumulate":
            trainer.accumulate_grad_batches = 2
        elif what == "fewer steps":
            trainer.fit_loop.max_steps = trainer.global_step + 3
            return what

    return happens


def options_of(draw: random.Random, batches: int, sized: bool) -> dict:
    """A Trainer's arguments."""
    options = {
        "max_epochs": draw.randint(1, 3),
        "accumulate_grad_batches": draw.choice([1] * 8 + [2, 3]),
        "log_every_n_steps": draw.choice([1, 2, 5, 50]),
        "num_sanity_val_steps": draw.choice([0, 1]),
        "check_val_every_n_epoch": draw.choice([1, 1, 2]),
        "max_steps": draw.choice([-1, -1, draw.randint(1, 2 * batches)]),
        "min_steps": draw.choice([None, None, draw.randint(1, batches)]),
        "min_epochs": draw.choice([None, None, 2]),
        "gradient_clip_val": draw.choice([None, None, 0.01, 0.5]),
        "gradient_clip_algorithm": draw.choice([None, "value"]),
        "limit_val_batches": draw.choice([0, 1.0, 1.0, 2]),
        "profiler": draw.choice([None] * 19 + ["simple"]),
    }
    if sized:
        options["limit_train_batches"] = draw.choice([1.0, 1.0, min(1.0, 0.5 + 1 / batches), draw.randint(1, batches)])
        options["val_check_interval"] = draw.choice([1.0, 1.0, 0.5, 0.25, draw.randint(1, batches), 2 * batches])
    else:
        options["limit_train_batches"] = draw.choice([1.0, draw.randint(1, batches)])
        options["val_check_interval"] = draw.choice([1.0, draw.randint(1, batches)])
    if isinstance(options["val_check_interval"], int):
        options["check_val_every_n_epoch"] = None
    return options


def run(seed: int, folder, patch: pytest.MonkeyPatch, stretches: bool) -> dict:
    """Run the program of ``seed``; everything that is to be the same."""
    draw, trace, strides = random.Random(seed), [], []
    batches, batch_size = draw.randint(1, 40), draw.randint(1, 3)
    sized = draw.random() < 0.8
    x = torch.randn(batches * batch_size - draw.randint(0, batch_size - 1), 4, generator=torch.manual_seed(seed))
    dataset = TensorDataset(x, x.sum(1, keepdim=True))
    loader = DataLoader(dataset if sized else Unsized(dataset), batch_size=batch_size)
    happens = events_of(draw, batches)
    module = models.seeded(module_of(draw, trace, happens))
    hooks = hooks_of(draw, CALLBACK_HOOKS)
    callback = type("Noting", (L.Callback,), {name: noting(trace, f"callback {name}", happens) for name in hooks})()
    options = options_of(draw, batches, sized)
    stride, every = draw.choice([1, 3, 8, 64]), draw.choice([0.0, 0.0, float("inf"), 0.002])
    patch.setattr(observation, "FLUSH_EVERY", every)
    first, train = Stretch.__init__, Stretch._train

    def begin(self, *args):
        first(self, *args)
        self._stride = stride

    patch.setattr(Stretch, "__init__", begin)
    patch.setattr(Stretch, "_train", lambda *args: strides.append(train(*args)) or strides[-1])
    if not stretches:
        patch.setattr(FitLoop, "_stretch", lambda self: None)
    watching, rows = Watching(), Rows()
    fit = models.trainer(folder, callbacks=[callback], observers=[watching], **options | {"logger": rows})
    error = ""
    try:
        fit.fit(module, loader, models.loader(8, seed=1))
    except Boom as raised:
        error = repr(raised)
    position = fit.fit_loop.position
    patch.undo()
    counters = {name: getattr(position, name) for name in position.__slots__ if name != "attention"}
    if not module.training:
        trace.append("left in eval mode")
    # The losses of a module that logs nothing are a sample, of quick steps.
    points = {name: found for name, found in watching.points.items() if name != "loss"}
    last = {key: f"{float(value):.9g}" for key, value in fit.callback_metrics.items()}
    return {
        "error": error,
        "trace": trace,
        "counters": counters,
        "rows": rows.rows,
        "points": points,
        "samples": None if error else watching.samples,  # told by the clock, but for the last time
        "metrics": last,
        "gradients": [None if p.grad is None else p.grad.tolist() for p in module.parameters()],
        "weights": [p.tolist() for p in module.parameters()],
        "strides": strides,
    }


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.filterwarnings("ignore")  # of what the programs do wrong on purpose; both runs warn alike
def test_random_programs_give_the_same(block, tmp_path):
    taken = 0
    for seed in range(block * PROGRAMS // BLOCKS, (block + 1) * PROGRAMS // BLOCKS):
        with pytest.MonkeyPatch.context() as patch:
            general = run(seed, tmp_path, patch, stretches=False)
        with pytest.MonkeyPatch.context() as patch:
            stretched = run(seed, tmp_path, patch, stretches=True)
        assert not general.pop("strides")
        taken += sum(stretched.pop("strides"))
        for what, found in general.items():
            assert str(found) == str(stretched[what]), f"program {seed}: {what}"
    assert taken > 20, "hardly any step ran in a stretch, so nothing was compared"
