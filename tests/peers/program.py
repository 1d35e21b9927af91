"""One program for both libraries: it trains, saves, resumes and loads as it is told, and says what came of it.

It must not know which of the two it runs with: the package's name is its only argument. It reads one JSON object a line
from the standard input and answers each with one.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import traceback
import warnings
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

pl = importlib.import_module(f"{sys.argv[1]}.pytorch")
callbacks = importlib.import_module(f"{sys.argv[1]}.pytorch.callbacks")


def data(seed: int, batches: int) -> DataLoader:
    x = torch.randn(4 * batches, 4, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=4)


class Data(pl.LightningDataModule):
    """Loaders in a fixed order; counts the calls for training data, and keeps the number in checkpoints."""

    def __init__(self, batches: int = 6):
        super().__init__()
        self.save_hyperparameters()
        self.asked = 0

    def train_dataloader(self):
        self.asked += 1
        return data(1, self.hparams.batches)

    def val_dataloader(self):
        return data(2, 2)

    def predict_dataloader(self):
        return data(3, 1)

    def state_dict(self):
        return {"asked": self.asked}

    def load_state_dict(self, state_dict):
        self.asked = state_dict["asked"]


class Net(pl.LightningModule):
    """Adam with a schedule by epochs."""

    def __init__(self, width: int = 3, lr: float = 0.05, names: tuple = ("a", "b")):
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.Tanh(), torch.nn.Linear(width, 1))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        self.seen += 1
        loss = (self(batch[0]) - batch[1]).square().mean()
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", (self(batch[0]) - batch[1]).square().mean())

    def predict_step(self, batch, batch_idx):
        return self(batch[0])

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams.lr)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)}


class ByStep(Net):
    """A schedule by steps, and one that watches a metric."""

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.9)
        step = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.95**step)
        return [optimizer], [{"scheduler": step, "interval": "step"}]


class Plateau(Net):
    """A schedule that watches the validation."""

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.3)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=10.0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}


class Manual(Net):
    """Two optimizers with a schedule each, stepped by hand."""

    def __init__(self, width: int = 3, lr: float = 0.05, names: tuple = ("a", "b")):
        super().__init__(width, lr, names)
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        for index, optimizer in enumerate(self.optimizers()):
            optimizer.zero_grad()
            loss = (self(batch[0]) - batch[1]).abs().pow(index + 1).mean()
            self.manual_backward(loss)
            optimizer.step()
        self.log("loss", loss)
        for scheduler in self.lr_schedulers():
            scheduler.step()

    def configure_optimizers(self):
        first = torch.optim.Adam(self.net[0].parameters(), lr=0.02)
        second = torch.optim.SGD(self.net[2].parameters(), lr=0.05, momentum=0.5)
        exponential = torch.optim.lr_scheduler.ExponentialLR
        return [first, second], [exponential(first, 0.9), exponential(second, 0.8)]


class Noted(pl.Callback):
    """Keeps a number in checkpoints by itself, and one by the hook."""

    def __init__(self):
        self.batches, self.from_hook = 0, None

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batches += 1

    def state_dict(self):
        return {"batches": self.batches}

    def load_state_dict(self, state_dict):
        self.batches = state_dict["batches"]

    def on_save_checkpoint(self, trainer, pl_module, checkpoint):
        checkpoint["noted"] = self.batches

    def on_load_checkpoint(self, trainer, pl_module, checkpoint):
        self.from_hook = checkpoint["noted"]


MODULES = {"Net": Net, "ByStep": ByStep, "Plateau": Plateau, "Manual": Manual}


def made(folder: str, options: dict) -> list:
    """The callbacks that a scenario asks for."""
    found = [Noted()]
    if options.get("watched", True):
        # The bounds are so wide that patience and the files kept are what is tested.
        stopping = callbacks.EarlyStopping("val_loss", min_delta=0.3, patience=9)
        found += [stopping, callbacks.ModelCheckpoint(folder, "best-{epoch}", "val_loss", save_top_k=2, save_last=True)]
    if "every" in options:
        settings = {"every_n_train_steps": options["every"], "save_top_k": -1}
        found.append(callbacks.ModelCheckpoint(folder, "step-{step}", **settings))
    if options.get("averaged"):
        found.append(callbacks.EMAWeightAveraging(decay=0.8))
    if options.get("timed"):
        found.append(callbacks.Timer("00:01:00:00"))
    if options.get("accumulating"):
        found.append(callbacks.GradientAccumulationScheduler({0: 1, 1: 2}))
    return found


def trainer(folder: str, options: dict):
    return pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=options.get("watched", True) or "every" in options,
        callbacks=made(folder, options),
        num_sanity_val_steps=0,
        max_epochs=options["epochs"],
        max_steps=options.get("steps", -1),
        **options.get("trainer", {}),
    )


def number(value):
    return round(float(value), 8)


def state(one, module) -> dict:
    """What two runs that should be equal are compared by."""
    known = {type(callback).__name__: callback for callback in one.callbacks}
    found = {
        "weights": [p.detach().flatten().tolist() for p in (*module.parameters(), *module.buffers())],
        "global_step": one.global_step,
        "current_epoch": one.current_epoch,
        "rates": [number(group["lr"]) for optimizer in one.optimizers for group in optimizer.param_groups],
        "stepped": one.fit_loop.epoch_loop._batches_that_stepped,
        "metrics": {name: number(value) for name, value in sorted(one.callback_metrics.items())},
        "noted": known["Noted"].batches,
        "asked": one.datamodule.asked if one.datamodule is not None else None,
    }
    if "EarlyStopping" in known:
        stopping = known["EarlyStopping"]
        found["stopping"] = [stopping.wait_count, stopping.stopped_epoch, number(stopping.best_score)]
    for checkpoint in one.checkpoint_callbacks:
        best = {Path(path).name: number(score) for path, score in checkpoint.best_k_models.items()}
        last = Path(checkpoint.last_model_path).name
        found.setdefault("kept", []).append([sorted(best.items()), Path(checkpoint.best_model_path).name, last])
    return found


def fit(folder: str, options: dict, ckpt_path: str | None = None, save: str | None = None) -> dict:
    """Train, resuming if asked, and save at the end if asked."""
    torch.manual_seed(0)
    module, one = MODULES[options["module"]](), trainer(folder, options)
    one.fit(module, datamodule=Data(options.get("batches", 6)), ckpt_path=ckpt_path)
    if save is not None:
        one.save_checkpoint(save)
    return state(one, module)


def load(path: str, module: str, **arguments) -> dict:
    """A module and a datamodule made from a file."""
    one = MODULES[module].load_from_checkpoint(path, **arguments).eval()
    module_data = Data.load_from_checkpoint(path)
    with torch.no_grad():
        answers = one(torch.linspace(-1, 1, 8).reshape(2, 4)).flatten().tolist()
    hparams = {name: list(value) if isinstance(value, tuple) else value for name, value in dict(one.hparams).items()}
    return {"answers": answers, "hparams": hparams, "batches": module_data.hparams.batches, "seen": float(one.seen)}


def predict(folder: str, options: dict, ckpt_path: str) -> dict:
    """Answers of the weights in a file."""
    one = trainer(folder, options)
    answers = one.predict(MODULES[options["module"]](), datamodule=Data(), ckpt_path=ckpt_path)
    return {"answers": torch.cat(answers).flatten().tolist()}


ACTIONS = {"fit": fit, "load": load, "predict": predict}


def main() -> None:
    warnings.simplefilter("ignore")
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        for line in sys.stdin:
            order = json.loads(line)
            try:
                answer = {"value": ACTIONS[order.pop("do")](**order)}
            except Exception:  # the other side shows it
                answer = {"error": traceback.format_exc()}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
