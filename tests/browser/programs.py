"""Notebooks that the browser tests write: small real trainings that last as long as a test needs.

They must not stand in for anything: each one trains with the public API, only slowly enough to be watched.
"""

from __future__ import annotations

import json
from pathlib import Path

import nbformat

MODEL = """
import time
import torch
import lit_studio as L
from torch.utils.data import DataLoader, TensorDataset

class Line(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(8, 1)

    def training_step(self, batch, batch_idx):
        x, y = batch
        time.sleep(0.01)  # a step takes as long as one of a larger model
        loss = torch.nn.functional.mse_loss(self.net(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

L.seed_everything(0)
x = torch.randn(1600, 8)
data = TensorDataset(x, x.sum(1, keepdim=True) + 0.1 * torch.randn(1600, 1))
"""

FIT = """
model = Line()
trainer = L.Trainer(max_epochs={epochs}, log_every_n_steps=1)
trainer.fit(model, DataLoader(data, batch_size=32, shuffle=True))
"""

AFTER = """
print("interrupted:", trainer.interrupted, "steps:", trainer.global_step)
"""

FAIL = """
class Broken(Line):
    def training_step(self, batch, batch_idx):
        if self.global_step == 20:
            raise ValueError("the data ran dry")
        return super().training_step(batch, batch_idx)

L.Trainer(max_epochs=3).fit(Broken(), DataLoader(data, batch_size=32))
"""


def write_notebook(path: Path, *sources: str) -> None:
    """Write a notebook with one code cell for each of ``sources``."""
    cells = [nbformat.v4.new_code_cell(source.strip(), id=f"cell-{i}") for i, source in enumerate(sources)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook))


def write_training(path: Path, epochs: int = 400) -> None:
    """Write a notebook that trains for ``epochs`` of 50 steps (about 0.6 s each) in its second cell."""
    write_notebook(path, MODEL, FIT.format(epochs=epochs), AFTER)
