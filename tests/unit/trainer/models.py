"""Small modules and loaders that the trainer's tests train, and a Trainer without attachments."""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader, TensorDataset

import lit_studio as L


class Regression(L.LightningModule):
    """Learns y = Σx by SGD; logs ``loss``."""

    def __init__(self, lr: float = 0.05):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
        self.lr = lr

    def forward(self, x):
        return self.layer(x)

    def error(self, batch):
        x, y = batch
        return (self(x) - y).square().mean()

    def training_step(self, batch, batch_idx):
        loss = self.error(batch)
        self.log("loss", loss)
        return loss

    def test_step(self, batch, batch_idx):
        self.log("test_loss", self.error(batch))

    def predict_step(self, batch, batch_idx):
        return self(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Validated(Regression):
    """Also validates; logs ``val_loss``."""

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.error(batch))


def loader(samples: int = 8, batch_size: int = 2, seed: int = 0, **kwargs) -> DataLoader:
    """``samples`` of 4 features, y their sum."""
    x = torch.randn(samples, 4, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=batch_size, **kwargs)


def seeded(cls=Regression, seed: int = 0, **kwargs):
    """A module whose weights are the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return cls(**kwargs)


OFF = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def trainer(tmp_path=None, **kwargs) -> L.Trainer:
    """A Trainer on the CPU with nothing attached but what is asked for."""
    settings = {"accelerator": "cpu", "max_epochs": 1, "num_sanity_val_steps": 0, **OFF, **kwargs}
    return L.Trainer(default_root_dir=tmp_path, **settings)


def weights(module) -> list[torch.Tensor]:
    """Copies of the module's parameters."""
    return [parameter.detach().clone() for parameter in module.parameters()]


def equal(first, second) -> bool:
    """Whether two lists of tensors are equal bit for bit."""
    return len(first) == len(second) and all(map(torch.equal, first, second))
