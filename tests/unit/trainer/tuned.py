"""Modules that the tuner's tests tune, and all that must be as before afterwards."""

from __future__ import annotations

import random

import torch

from tests.unit.trainer.models import Regression, equal, loader


class Scheduled(Regression):
    """Adam with a scheduler, dropout and normalization, so that there is much to put back."""

    def __init__(self, lr: float = 0.02):
        super().__init__(lr)
        self.save_hyperparameters("lr")
        self.layer = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1)
        )
        self.seen: list[int] = []

    def training_step(self, batch, batch_idx):
        self.seen.append(len(batch[0]))
        return super().training_step(batch, batch_idx)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


class Checked(Scheduled):
    """Also validates."""

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.error(batch))


class Sized(Checked):
    """Makes its loaders by ``batch_size``; more than ``room`` samples don't fit into memory."""

    def __init__(self, batch_size: int = 7, room: int = 100, samples: int = 500, at: str = "training"):
        super().__init__()
        self.batch_size, self.room, self.samples, self.at = batch_size, room, samples, at
        self.sizes: list[int] = []

    def _use(self, batch, step):
        size = len(batch[0])
        if not self.sizes or self.sizes[-1] != size:
            self.sizes.append(size)
        if size > self.room and step == self.at:
            raise RuntimeError("CUDA out of memory.")

    def training_step(self, batch, batch_idx):
        self._use(batch, "training")
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch, batch_idx):
        self._use(batch, "validation")
        super().validation_step(batch, batch_idx)

    def test_step(self, batch, batch_idx):
        self._use(batch, "test")

    def predict_step(self, batch, batch_idx):
        self._use(batch, "predict")
        return batch[0]

    def _loader(self):
        return loader(self.samples, self.batch_size)

    def train_dataloader(self):
        return self._loader()

    def val_dataloader(self):
        return self._loader()

    def test_dataloader(self):
        return self._loader()

    def predict_dataloader(self):
        return self._loader()


def whole_state(t, module):
    return {
        "weights": [value.clone() for value in module.state_dict().values()],
        "random": (torch.get_rng_state().tolist(), random.getstate()),
        "position": (t.global_step, t.current_epoch, t.max_steps, t.should_stop),
        "limits": (t.limit_train_batches, t.limit_val_batches, t.limit_test_batches, t.limit_predict_batches),
        "attached": (list(t.callbacks), list(t.loggers), t.observation),
        "modes": [part.training for part in module.modules()],
        "gradients": [parameter.grad for parameter in module.parameters()],
    }


def assert_same(before, after):
    assert equal(before.pop("weights"), after.pop("weights"))
    assert before == after
