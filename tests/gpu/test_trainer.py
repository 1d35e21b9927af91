"""What only a GPU can show of the trainer; skipped where there is none."""

from __future__ import annotations

import pytest
import torch

import lit_studio as L
from tests.unit.trainer.models import OFF, Regression, Validated, loader

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Watched(Regression):
    """Lets torch raise on anything that waits for the device between two steps."""

    def on_train_batch_start(self, batch, batch_idx):
        if batch_idx == 5:
            self.trainer.observation.due = float("inf")
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, outputs, batch, batch_idx):
        if batch_idx == 15:
            torch.cuda.set_sync_debug_mode("default")
            self.trainer.observation.due = 0.0


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_no_step_waits_for_the_device(precision):
    fit = L.Trainer(accelerator="cuda", devices=1, max_epochs=1, precision=precision, gradient_clip_val=1.0, **OFF)
    try:
        fit.fit(Watched(), loader(samples=40, pin_memory=True))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert fit.global_step == 20


@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed", "bf16-true"])
def test_a_fit_on_the_gpu_learns_and_gives_the_module_back(precision):
    module = Validated()
    fit = L.Trainer(accelerator="gpu", devices=[0], max_epochs=20, precision=precision, **OFF)
    before = module.layer.weight.detach().clone()
    fit.fit(module, loader(), loader())
    assert module.device.type == "cpu"
    assert not torch.equal(before, module.layer.weight.float())
    assert float(fit.callback_metrics["val_loss"]) < 0.5
