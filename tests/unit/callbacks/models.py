"""Small modules that the callbacks' tests train, with metrics that follow a script."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.utils.data import DataLoader, TensorDataset

from lit_studio.trainer.module import LightningModule
from lit_studio.trainer.trainer import Trainer


class Scripted(LightningModule):
    """Learns y = Σx; logs ``train_loss``, and as ``val`` one value of ``script`` after the other."""

    def __init__(self, script: Sequence[float] = (), lr: float = 0.01):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
        self.script = list(script)
        self.lr = lr
        self.validations = 0

    def forward(self, x):
        return self.layer(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = (self(x) - y).pow(2).mean()
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        if self.script and not self.trainer.sanity_checking:
            self.log("val", self.script[min(self.validations, len(self.script) - 1)], prog_bar=True)
        x, y = batch
        self.log("val_loss", (self(x) - y).pow(2).mean())

    def on_validation_end(self):
        self.validations += not self.trainer.sanity_checking

    def test_step(self, batch, batch_idx):
        x, y = batch
        self.log("test_loss", (self(x) - y).pow(2).mean())

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        return self(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


def loader(samples: int = 8, batch_size: int = 2, seed: int = 0, **kwargs) -> DataLoader:
    """A loader of ``samples`` with 4 features; y is their sum."""
    x = torch.randn(samples, 4, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=batch_size, **kwargs)


def fit(tmp_path, *callbacks, module=None, val=True, ckpt_path=None, batches=4, **kwargs) -> Trainer:
    """Fit on the CPU, four batches an epoch and no bar, summary or sanity check unless asked for; the trainer."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    if not val:
        quiet["limit_val_batches"] = 0
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        callbacks=list(callbacks),
        **{"max_epochs": 2, "enable_checkpointing": None, **quiet, **kwargs},
    )
    trainer.fit(module or Scripted(), loader(2 * batches), loader(4) if val else None, ckpt_path=ckpt_path)
    return trainer
