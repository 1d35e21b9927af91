"""A program with a command line: the classes that the command line's tests make, named by their import paths."""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader, TensorDataset

from lit_studio.pytorch import LightningDataModule, LightningModule, callbacks, cli

HERE = __name__


class Head(torch.nn.Module):
    """Something that maps features to one number."""

    def __init__(self, features: int = 4, bias: bool = True):
        super().__init__()
        self.features, self.layer = features, torch.nn.Linear(features, 1, bias=bias)

    def forward(self, x):
        return self.layer(x)


class SquaredHead(Head):
    """The same, squared."""

    def forward(self, x):
        return super().forward(x).square()


class Regressor(LightningModule):
    """A model.

    Args:
        head: what maps features to the prediction.
        width: how many features there are.
    """

    def __init__(self, head: Head | None = None, width: int = 4):
        super().__init__()
        self.save_hyperparameters()
        self.width, self.head = width, head or Head(width)
        self.inner = Part(hidden=3)

    def training_step(self, batch, batch_idx):
        loss = (self.head(batch[0]) - batch[1]).square().mean()
        self.log("loss", loss)
        return loss

    validation_step = test_step = training_step

    def predict_step(self, batch, batch_idx):
        return self.head(batch[0])


class Part(LightningModule):
    """A module within a module, with hyper-parameters of its own."""

    def __init__(self, hidden: int):
        super().__init__()
        self.save_hyperparameters()


class Wide(Regressor):
    """Another model: the same with eight features.

    Args:
        width: how many features there are.
        scale: a factor.
    """

    def __init__(self, width: int = 8, scale: float = 1.0):
        super().__init__(width=width)
        self.save_hyperparameters()
        self.scale = scale


class Outer(Regressor):
    """A model that is given another one."""

    def __init__(self, part: Part):
        super().__init__()
        self.save_hyperparameters()
        self.part = part


class OwnOptimizer(Regressor):
    """A model whose optimizer the command line may choose through an argument."""

    def __init__(
        self,
        optimizer: cli.OptimizerCallable = torch.optim.SGD,
        scheduler: cli.LRSchedulerCallable = torch.optim.lr_scheduler.ConstantLR,
    ):
        super().__init__()
        self.optimizer, self.scheduler = optimizer, scheduler

    def configure_optimizers(self):
        optimizer = self.optimizer(self.parameters())
        return {"optimizer": optimizer, "lr_scheduler": self.scheduler(optimizer)}


class Linked(Regressor):
    """A model that gets its optimizer as a description."""

    def __init__(self, optimizer: dict | None = None, scheduler: dict | None = None):
        super().__init__()
        self.described = optimizer, scheduler

    def configure_optimizers(self):
        optimizer = cli.instantiate_class(self.parameters(), self.described[0])
        return [optimizer], [cli.instantiate_class(optimizer, self.described[1])]


class Rows(LightningDataModule):
    """Random rows.

    Args:
        width: features of a row.
        count: rows.
    """

    def __init__(self, width: int = 4, count: int = 16):
        super().__init__()
        self.width, self.count, self.doubled = width, count, 2 * width

    def train_dataloader(self):
        x = torch.randn(self.count, self.width)
        return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=8)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


class Noting(callbacks.Callback):
    """A callback with an argument.

    Args:
        word: what to remember.
    """

    def __init__(self, word: str = "nothing"):
        self.word = word
