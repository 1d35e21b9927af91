"""The smallest models and datasets with every step and loader: for bug reports and tests.

It must not know what is tried with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from lit_studio.trainer.datamodule import LightningDataModule
from lit_studio.trainer.module import LightningModule

FEATURES = 32
_STAGES = ("fit", "validate", "test", "predict")


class RandomDataset(Dataset[Tensor]):
    """``length`` standard-normal vectors of ``size`` numbers, drawn when it is made."""

    def __init__(self, size: int, length: int):
        self.len = length
        self.data = torch.randn(length, size)

    def __getitem__(self, index: int) -> Tensor:
        return self.data[index]

    def __len__(self) -> int:
        return self.len


class RandomDictDataset(RandomDataset):
    """The same, each item a dict: ``a`` is the vector, ``b`` is ``a + 2``."""

    def __getitem__(self, index: int) -> Any:
        vector = self.data[index]
        return {"a": vector, "b": vector + 2}


class RandomIterableDataset(IterableDataset[Tensor]):
    """``count`` standard-normal vectors of ``size`` numbers, drawn on the way; it has no length."""

    def __init__(self, size: int, count: int):
        self.size, self.count = size, count

    def __iter__(self) -> Iterator[Tensor]:
        return (torch.randn(self.size) for _ in range(self.count))


class RandomIterableDatasetWithLen(RandomIterableDataset):
    """The same, with a length."""

    def __len__(self) -> int:
        return self.count


class BoringModel(LightningModule):
    """One linear layer from 32 features to 2, pulled towards ones; it brings loaders of 64 batches of one sample."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(FEATURES, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Two numbers a sample."""
        return self.layer(x)

    def loss(self, preds: Tensor, labels: Tensor | None = None) -> Tensor:
        """Mean squared distance from ``labels``, by default from ones."""
        return functional.mse_loss(preds, torch.ones_like(preds) if labels is None else labels)

    def step(self, batch: Any) -> Tensor:
        """The loss of a batch."""
        return self.loss(self(batch))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """The loss, as ``loss``."""
        return {"loss": self.step(batch)}

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        """The loss, as ``x``."""
        return {"x": self.step(batch)}

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        """The loss, as ``y``."""
        return {"y": self.step(batch)}

    def configure_optimizers(self) -> Any:
        """SGD whose learning rate falls to a tenth with each epoch."""
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [StepLR(optimizer, step_size=1)]

    def train_dataloader(self) -> DataLoader[Tensor]:
        """64 batches of one sample."""
        return DataLoader(RandomDataset(FEATURES, 64))

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


class ManualOptimBoringModel(BoringModel):
    """The same, with backward and the optimizer's step in ``training_step``."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Step the optimizer; returns the loss."""
        optimizer, loss = self.optimizers(), self.step(batch)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return loss


class DemoModel(LightningModule):
    """A linear layer with arguments, to try hyper-parameters and the tuner with."""

    def __init__(self, out_dim: int = 10, learning_rate: float = 0.02):
        super().__init__()
        self.l1 = nn.Linear(FEATURES, out_dim)
        self.learning_rate = learning_rate

    def forward(self, x: Tensor) -> Tensor:
        """``out_dim`` numbers a sample, none below 0."""
        return self.l1(x.flatten(1)).relu()

    def training_step(self, batch: Any, batch_nb: int) -> Any:
        """The sum of all outputs."""
        return self(batch).sum()

    def configure_optimizers(self) -> Optimizer:
        """Adam with ``learning_rate``."""
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


class _OfStages(LightningDataModule):
    """Makes the data of the stages that are asked for, validation's with training's."""

    def _due(self, stage: str) -> list[str]:
        return [one for one in _STAGES if one == stage or (one, stage) == ("validate", "fit")]


class BoringDataModule(_OfStages):
    """256 random vectors, a quarter for each of training, validation, test and prediction."""

    def __init__(self) -> None:
        super().__init__()
        self.random_full = RandomDataset(FEATURES, 4 * 64)

    def setup(self, stage: str) -> None:
        """Take the quarters that ``stage`` needs."""
        names = dict(zip(_STAGES, ("random_train", "random_val", "random_test", "random_predict"), strict=True))
        for one in self._due(stage):
            start = 64 * _STAGES.index(one)
            setattr(self, names[one], Subset(self.random_full, range(start, start + 64)))

    def train_dataloader(self) -> Any:
        """The first quarter."""
        return DataLoader(self.random_train)  # type: ignore[attr-defined]

    def val_dataloader(self) -> Any:
        """The second quarter."""
        return DataLoader(self.random_val)  # type: ignore[attr-defined]

    def test_dataloader(self) -> Any:
        """The third quarter."""
        return DataLoader(self.random_test)  # type: ignore[attr-defined]

    def predict_dataloader(self) -> Any:
        """The last quarter."""
        return DataLoader(self.random_predict)  # type: ignore[attr-defined]


class BoringDataModuleNoLen(BoringDataModule):
    """Random vectors without a length: 512 to train with, 128, 256 and 64 for the others."""

    _COUNTS = {"fit": 512, "validate": 128, "test": 256, "predict": 64}

    def setup(self, stage: str) -> None:
        """Make the datasets that ``stage`` needs."""
        names = dict(zip(_STAGES, ("random_train", "random_val", "random_test", "random_predict"), strict=True))
        for one in self._due(stage):
            setattr(self, names[one], RandomIterableDataset(FEATURES, self._COUNTS[one]))


class IterableBoringDataModule(_OfStages):
    """Two loaders a stage, one with a length and one without, over vectors of 4 numbers."""

    _COUNTS = {"fit": 16, "validate": 32, "test": 64, "predict": 128}

    def setup(self, stage: str) -> None:
        """Make the datasets that ``stage`` needs."""
        names = dict(zip(_STAGES, ("train_datasets", "val_datasets", "test_datasets", "predict_datasets"), strict=True))
        for one in self._due(stage):
            count = self._COUNTS[one]
            setattr(self, names[one], [RandomDataset(4, count), RandomIterableDataset(4, count)])

    def train_dataloader(self) -> Any:
        """Two loaders of 16 batches."""
        return [DataLoader(one) for one in self.train_datasets]  # type: ignore[attr-defined]

    def val_dataloader(self) -> Any:
        """Two loaders of 32 batches."""
        return [DataLoader(one) for one in self.val_datasets]  # type: ignore[attr-defined]

    def test_dataloader(self) -> Any:
        """Two loaders of 64 batches."""
        return [DataLoader(one) for one in self.test_datasets]  # type: ignore[attr-defined]

    def predict_dataloader(self) -> Any:
        """Two loaders of 128 batches."""
        return [DataLoader(one) for one in self.predict_datasets]  # type: ignore[attr-defined]


class Net(nn.Module):
    """A small convolutional network for images of 1 x 28 x 28; gives log-probabilities of 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Log-probabilities, (batch, 10)."""
        x = self.conv2(self.conv1(x).relu()).relu()
        x = self.dropout1(functional.max_pool2d(x, 2)).flatten(1)
        x = self.dropout2(self.fc1(x).relu())
        return functional.log_softmax(self.fc2(x), dim=1)
