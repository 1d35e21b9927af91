"""What two ranks do in the tests of this folder, in one pair of processes because each takes seconds to start.

Each rank writes what it found to ``OUT/rank-<rank>.json``; the tests look at both files. Use: ``program.py OUT PART…``,
by itself, under torchrun, or imported for a single process.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler, TensorDataset

import lit_studio as L
from lit_studio.base.runs import Command, send_command
from lit_studio.callbacks import Callback, EarlyStopping, ModelCheckpoint

SAMPLES, BATCH = 64, 4
QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}


class Regression(L.LightningModule):
    """A line through four dimensions; the losses that this rank has seen are kept."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
        self.losses = []

    def loss(self, batch):
        return (self.layers(batch[0]) - batch[1]).square().mean()

    def training_step(self, batch, batch_idx):
        loss = self.loss(batch)
        self.losses.append(loss.item())
        self.log("loss", loss, on_step=True, on_epoch=True, sync_dist=True)
        return loss

    def validation_step(self, batch, batch_idx):
        rank = float(self.global_rank)
        self.log("val_loss", self.loss(batch), sync_dist=True)
        self.log("mean", rank, sync_dist=True)
        for name in ("sum", "min", "max"):
            self.log(name, rank + 1, reduce_fx=name, sync_dist=True)
        self.log("own", rank)

    def on_validation_epoch_end(self):
        self.log("once", float(self.global_rank), sync_dist=True)
        self.log("once_sum", 1.0, sync_dist=True, reduce_fx="sum")

    def predict_step(self, batch, batch_idx):
        return batch[0][:, 0]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)


def dataset(samples=SAMPLES):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(samples, 4, generator=generator)
    return TensorDataset(x, x.sum(1, keepdim=True))


def numbers(samples):
    return TensorDataset(torch.arange(float(samples)).reshape(-1, 1))


def part_fit(found, out, **place):
    """Train, validate, keep the best; then see what each rank knows."""
    module = Regression()
    best = ModelCheckpoint(out / "best", monitor="val_loss", save_last=True)
    trainer = L.Trainer(max_epochs=3, callbacks=[best], default_root_dir=out, log_every_n_steps=1, **QUIET, **place)
    data = DataLoader(dataset(), batch_size=BATCH)
    trainer.fit(module, data, data)
    found["losses"], found["weights"] = module.losses, [p.tolist() for p in module.parameters()]
    found["metrics"] = {name: float(value) for name, value in trainer.callback_metrics.items()}
    found["best"], found["last"] = best.best_model_path, best.last_model_path
    found["log_dir"], found["step"], found["epoch"] = trainer.log_dir, trainer.global_step, trainer.current_epoch
    found["ranks"] = [trainer.global_rank, trainer.local_rank, trainer.node_rank, trainer.world_size]
    found["sampler"] = type(trainer.fit_loop.loaders.flat[0].sampler).__name__
    return trainer, module


def part_talk(found, trainer, module):
    """What ranks may say to each other."""
    rank, strategy = trainer.global_rank, trainer.strategy
    value = torch.tensor([1.0, 2.0]) * (rank + 1)
    value.requires_grad_()
    gathered = module.all_gather({"a": value, "b": [torch.tensor(rank)]}, sync_grads=True)
    gathered["a"].square().sum().backward()
    found["gathered"] = {"a": gathered["a"].tolist(), "b": gathered["b"][0].tolist(), "gradient": value.grad.tolist()}
    found["reduced"] = {
        op: strategy.reduce(torch.tensor(float(rank + 1)), reduce_op=op).item() for op in ("mean", "sum", "min", "max")
    }
    found["broadcast"] = strategy.broadcast({"from": rank})
    found["decisions"] = [strategy.reduce_boolean_decision(rank == 0, all=all_of_them) for all_of_them in (True, False)]
    strategy.barrier()


class Keeps(Callback):
    """Notes the samples of each batch."""

    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.seen.append(batch[0].flatten().tolist())


class Idle(L.LightningModule):
    """Takes steps that change one number."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.prepared = []

    def prepare_data(self):
        self.prepared.append(self.global_rank)

    def training_step(self, batch, batch_idx):
        return self.weight.sum() + 1

    def predict_step(self, batch, batch_idx):
        return batch[0].flatten().tolist()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Batches(BatchSampler):
    """A batch sampler of a user's."""


class Evens:
    """A sampler of a user's: every second sample."""

    def __iter__(self):
        return iter(range(0, 12, 2))

    def __len__(self):
        return 6


class Stream(IterableDataset):
    """Gives rank 0 three batches and rank 1 five."""

    def __iter__(self):
        count = 3 if int(os.environ["LOCAL_RANK"]) == 0 else 5
        return iter(torch.arange(float(count)).reshape(-1, 1, 1))


def seen_in_a_fit(loader, out, epochs=1, **settings):
    keeps = Keeps()
    trainer = L.Trainer(
        max_epochs=epochs, callbacks=[keeps], logger=False, enable_checkpointing=False, devices=2, strategy="ddp",
        default_root_dir=out, **QUIET, **settings,
    )  # fmt: skip
    module = Idle()
    trainer.fit(module, loader)
    return keeps.seen, trainer, module


def part_data(found, out):
    """Which samples this rank gets."""
    found["in_order"], _, module = seen_in_a_fit(DataLoader(numbers(7), batch_size=2), out)
    found["prepared"] = module.prepared
    shuffled = DataLoader(numbers(8), batch_size=2, shuffle=True)
    found["shuffled"], _, _ = seen_in_a_fit(shuffled, out, epochs=2)
    batches = Batches(SequentialSampler(numbers(8)), batch_size=2, drop_last=True)
    found["batch_sampler"], _, _ = seen_in_a_fit(DataLoader(numbers(8), batch_sampler=batches), out)
    found["own_sampler"], _, _ = seen_in_a_fit(DataLoader(numbers(12), batch_size=1, sampler=Evens()), out)
    found["whole"], _, _ = seen_in_a_fit(DataLoader(numbers(4), batch_size=2), out, use_distributed_sampler=False)
    found["stream"], trainer, _ = seen_in_a_fit(DataLoader(Stream(), batch_size=None), out)
    found["stream_steps"] = trainer.global_step
    trainer = L.Trainer(devices=2, strategy="ddp", logger=False, default_root_dir=out, **QUIET)
    found["predicted"] = trainer.predict(Idle(), DataLoader(numbers(5), batch_size=1))


class StopsOnRankOne(Callback):
    """Asks to stop, on one rank only."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_rank == 1 and trainer.global_step >= 5:
            trainer.should_stop = True


class DiffersByRank(Idle):
    """Gets worse on rank 1 only."""

    def on_train_epoch_end(self):
        self.log("metric", float(self.current_epoch * self.global_rank))


def part_stop(found, out):
    """Ranks stop together, whoever wants it."""
    settings = {"logger": False, "enable_checkpointing": False, "devices": 2, "strategy": "ddp", **QUIET}
    endless = DataLoader(numbers(100_000), batch_size=1)
    trainer = L.Trainer(max_epochs=1, callbacks=[StopsOnRankOne()], default_root_dir=out, **settings)
    trainer.fit(Idle(), endless)
    found["stopped_by_rank"] = trainer.global_step
    early = EarlyStopping("metric", patience=1)
    trainer = L.Trainer(max_epochs=9, callbacks=[early], default_root_dir=out, **settings)
    trainer.fit(DiffersByRank(), DataLoader(numbers(4), batch_size=1))
    found["early"] = [trainer.current_epoch, early.stopped_epoch]
    trainer = L.Trainer(max_epochs=1, max_time={"seconds": 1}, default_root_dir=out, **settings)
    trainer.fit(Idle(), endless)
    found["by_time"] = trainer.global_step


class Person(threading.Thread):
    """On rank 0: pauses a fit, sets its learning rate, goes on, saves, stops."""

    def __init__(self, trainer):
        super().__init__(daemon=True)
        self.trainer, self.paused_at = trainer, []
        self.start()

    def run(self):
        while self.trainer.observation.run is None or self.trainer.global_step < 20:
            time.sleep(0.01)
        self.send("pause")
        time.sleep(0.6)
        self.paused_at.append(self.trainer.global_step)
        time.sleep(0.3)
        self.paused_at.append(self.trainer.global_step)
        self.send("set_lr", value=0.125)
        self.send("resume")
        time.sleep(0.3)
        self.send("save")
        time.sleep(0.3)
        self.send("stop")

    def send(self, name, **arguments):
        send_command(self.trainer.observation.run.inbox, Command(name, arguments))


def part_person(found, out):
    """A person's requests, read on rank 0, reach both ranks at the same step."""
    trainer = L.Trainer(max_epochs=1, devices=2, strategy="ddp", default_root_dir=out / "person", **QUIET)
    person = Person(trainer) if trainer.is_global_zero else None
    module = Idle()
    trainer.fit(module, DataLoader(numbers(400_000), batch_size=1))
    found["person_step"] = trainer.global_step
    found["person_lr"] = trainer.optimizers[0].param_groups[0]["lr"]
    found["person_stopped"], found["person_weight"] = trainer.stopped_by_person, module.weight.item()
    found["person_paused_at"] = person.paused_at if person else None


class Manual(L.LightningModule):
    """Two optimizers that step in turn, with several backwards from one forward."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.first, self.second = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch, batch_idx):
        one, two = self.optimizers()
        for optimizer, parameter in ((one, self.first), (two, self.second)):
            optimizer.zero_grad()
            self.manual_backward((parameter * batch[0].mean()).sum())
            optimizer.step()

    def configure_optimizers(self):
        return [torch.optim.SGD([parameter], lr=0.1) for parameter in (self.first, self.second)]


class HalfUsed(Idle):
    """Has a parameter that no loss depends on."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))


def part_special(found, out):
    """Accumulation, manual optimization, parameters that aren't used."""
    settings = {"logger": False, "enable_checkpointing": False, "devices": 2, "max_epochs": 1, **QUIET}
    module = Regression()
    trainer = L.Trainer(strategy="ddp", accumulate_grad_batches=2, default_root_dir=out, **settings)
    trainer.fit(module, DataLoader(dataset(), batch_size=BATCH))
    found["accumulated"] = [p.tolist() for p in module.parameters()]
    module = Manual()
    trainer = L.Trainer(strategy="ddp_find_unused_parameters_true", default_root_dir=out, **settings)
    trainer.fit(module, DataLoader(numbers(8), batch_size=1))
    found["manual"] = [module.first.item(), module.second.item(), trainer.global_step]
    trainer = L.Trainer(strategy="ddp_find_unused_parameters_true", default_root_dir=out, **settings)
    trainer.fit(HalfUsed(), DataLoader(numbers(8), batch_size=1))
    try:
        trainer = L.Trainer(strategy="ddp", default_root_dir=out, **settings)
        trainer.fit(HalfUsed(), DataLoader(numbers(8), batch_size=1))
    except L.StudioError as error:
        found["unused"] = str(error)


def main(out, parts):
    """Run ``parts`` on this rank."""
    out.mkdir(parents=True, exist_ok=True)
    found = {}
    trainer, module = part_fit(found, out, devices=2, strategy="ddp")
    if "talk" in parts:
        part_talk(found, trainer, module)
    for name in ("data", "stop", "person", "special"):
        if name in parts:
            globals()[f"part_{name}"](found, out)
    (out / f"rank-{trainer.global_rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
