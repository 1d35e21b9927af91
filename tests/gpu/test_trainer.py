"""What only a GPU can show of the trainer; skipped where there is none."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import lit_studio as L
from lit_studio.trainer import prefetch
from tests.unit.trainer.models import OFF, Regression, Validated, loader, seeded

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Quiet(Regression):
    """Lets torch raise on anything that waits for the device from the sixth step to the sixteenth; hooks nothing.

    So its steps are the loop's usual ones, whose batches come over the stream for copies.
    """

    def training_step(self, batch, batch_idx):
        if batch_idx == 5:
            self.trainer.observation.due = float("inf")
            torch.cuda.set_sync_debug_mode("error")
        elif batch_idx == 15:
            torch.cuda.set_sync_debug_mode("default")
            self.trainer.observation.due = 0.0
        return super().training_step(batch, batch_idx)


class Watched(Regression):
    """The same in a fit with hooks at each batch."""

    def on_train_batch_start(self, batch, batch_idx):
        if batch_idx == 5:
            self.trainer.observation.due = float("inf")
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, outputs, batch, batch_idx):
        if batch_idx == 15:
            torch.cuda.set_sync_debug_mode("default")
            self.trainer.observation.due = 0.0


@pytest.fixture(autouse=True)
def sync_again():
    """Whatever a test does, waiting is allowed afterwards."""
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", [Quiet, Watched])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_no_step_waits_for_the_device(precision, kind, workers):
    fit = L.Trainer(accelerator="cuda", devices=1, max_epochs=1, precision=precision, gradient_clip_val=1.0, **OFF)
    fit.fit(kind(), loader(samples=40, pin_memory=True, num_workers=workers))
    assert fit.global_step == 20


def test_what_waits_would_be_found():
    class Reads(Quiet):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            loss.item()
            return loss

    with pytest.raises(RuntimeError, match="synchroniz"):
        L.Trainer(accelerator="cuda", devices=1, max_epochs=1, **OFF).fit(Reads(), loader(samples=40, pin_memory=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_that_are_copied_beside_the_work_arrive_whole(workers):
    class Sums(L.LightningModule):
        """Keeps the device busy, so that the next copies run at the same time, and adds up each batch."""

        def __init__(self):
            super().__init__()
            self.weight, self.sums = torch.nn.Parameter(torch.ones(1)), []

        def training_step(self, batch, batch_idx):
            busy = torch.ones(1024, 1024, device=self.device)
            for _ in range(20):
                busy = busy @ busy / 1024
            self.sums.append(batch[0].sum())
            return (self.weight * batch[0].mean()).square().sum() + 0 * busy[0, 0]

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.0)

    rows = torch.arange(64.0).repeat_interleave(1 << 16).reshape(64, -1)
    data = DataLoader(TensorDataset(rows), batch_size=1, pin_memory=True, num_workers=workers)
    module = Sums()
    L.Trainer(accelerator="cuda", devices=1, max_epochs=2, **OFF).fit(module, data)
    assert [float(total) for total in module.sums] == [float(value << 16) for value in range(64)] * 2


def test_the_stream_for_copies_changes_nothing_that_is_learned(monkeypatch):
    def learned():
        module = seeded()
        data = loader(samples=64, pin_memory=True, num_workers=1)
        L.Trainer(accelerator="cuda", devices=1, max_epochs=3, **OFF).fit(module, data)
        return module.layer.weight.detach().cpu()

    with_stream = learned()
    monkeypatch.delitem(prefetch.LANES, "cuda")
    assert torch.equal(learned(), with_stream)


@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed", "bf16-true"])
def test_a_fit_on_the_gpu_learns_and_gives_the_module_back(precision):
    module = Validated()
    fit = L.Trainer(accelerator="gpu", devices=[0], max_epochs=20, precision=precision, **OFF)
    before = module.layer.weight.detach().clone()
    fit.fit(module, loader(), loader())
    assert module.device.type == "cpu"
    assert not torch.equal(before, module.layer.weight.float())
    assert float(fit.callback_metrics["val_loss"]) < 0.5
