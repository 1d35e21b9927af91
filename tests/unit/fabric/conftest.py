"""Nothing that a run writes lands in the folder from which the tests are run; a plain loop to try things with."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import lit_studio as L
from lit_studio.base import registry


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Collector:
    """An observer that keeps what it is told."""

    def __init__(self):
        self.events, self.closed = [], 0

    def observe(self, event):
        self.events.append(event)

    def close(self):
        self.closed += 1

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def seen():
    """What every run of this test tells its observers."""
    collector = Collector()
    registry.register("observers", "collector", lambda run: collector)
    yield collector
    registry.unregister("observers", "collector")


class Loop:
    """A plain loop over ``samples`` random rows, four a batch."""

    def __init__(self, samples=32, **settings):
        torch.manual_seed(0)
        self.fabric = L.Fabric(accelerator="cpu", **settings)
        self.network = torch.nn.Linear(4, 1)
        optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)
        self.model, self.optimizer = self.fabric.setup(self.network, optimizer)
        data = TensorDataset(torch.randn(samples, 4), torch.randn(samples, 1))
        self.loader = self.fabric.setup_dataloaders(DataLoader(data, batch_size=4))
        self.losses = []

    def step(self, batch):
        inputs, targets = batch
        self.optimizer.zero_grad()
        loss = (self.model(inputs) - targets).square().mean()
        self.fabric.backward(loss)
        self.optimizer.step()
        self.losses.append(loss.item())
        return loss

    def epoch(self, log=True):
        for batch in self.loader:
            loss = self.step(batch)
            if log:
                self.fabric.log("loss", loss)


@pytest.fixture
def loop():
    return Loop()
