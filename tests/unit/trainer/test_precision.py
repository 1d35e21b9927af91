"""Precision: the dtypes that a step sees, and loss scaling."""

from __future__ import annotations

import pytest
import torch

import lit_studio as L
from lit_studio.trainer.precision import MixedPrecision, resolve_precision
from tests.unit.trainer.models import Regression, equal, loader, seeded, trainer, weights


class Looking(Regression):
    def training_step(self, batch, batch_idx):
        self.seen = (self.layer.weight.dtype, batch[0].dtype, self(batch[0]).dtype, torch.ones(1).dtype)
        return self.error(batch)

    test_step = training_step


F64, F32, F16, BF16 = torch.float64, torch.float32, torch.float16, torch.bfloat16


@pytest.mark.parametrize(
    ("precision", "seen"),
    [
        (None, (F32, F32, F32, F32)),
        ("32-true", (F32, F32, F32, F32)),
        (64, (F64, F64, F64, F64)),
        ("bf16-true", (BF16, BF16, BF16, BF16)),
        ("16-true", (F16, F16, F16, F16)),
        ("bf16-mixed", (F32, F32, BF16, F32)),
        ("bf16", (F32, F32, BF16, F32)),
    ],
)
def test_dtypes_of_weights_inputs_results_and_new_tensors(precision, seen):
    module, fit = Looking(), trainer(precision=precision)
    fit.fit(module, loader())
    assert module.seen == seen
    module.seen = None
    fit.test(module, loader(), verbose=False)
    assert module.seen == seen
    assert torch.get_default_dtype() == torch.float32


def test_fp16_autocast_is_not_for_the_processor():
    with pytest.warns(UserWarning, match="not supported on CPU"):
        assert trainer(precision="16-mixed").precision == "bf16-mixed"


class Scaled(Regression):
    """Looks at gradients as hooks see them."""

    norms = ()

    def on_before_optimizer_step(self, optimizer):
        self.norms = (*self.norms, float(self.layer.weight.grad.norm()))

    def training_step(self, batch, batch_idx):
        return self.error(batch) * (torch.inf if batch_idx == self.trainer.fit_loop.bad else 1.0)


def scaling(bad=None, **settings):
    """A fit with loss scaling, on the processor, which has fp16 too, if slowly."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    module, fit = seeded(Scaled), trainer(plugins=plugin, **settings)
    fit.fit_loop.bad = bad
    fit.fit(module, loader())
    return module, fit


def test_hooks_and_clipping_see_unscaled_gradients():
    module, _ = scaling()
    plain, fit = seeded(Scaled), trainer(precision="32-true")
    fit.fit_loop.bad = None
    fit.fit(plain, loader())
    assert module.norms == pytest.approx(plain.norms, rel=1e-2)
    clipped, _ = scaling(gradient_clip_val=1e-3)
    moved = max(float((a - b).abs().max()) for a, b in zip(weights(clipped), weights(seeded(Scaled)), strict=True))
    assert 0 < moved <= 4 * 0.05 * 1e-3 * 1.01


@pytest.mark.filterwarnings("ignore:the loss is")
def test_an_infinite_gradient_skips_the_step_and_halves_the_scale():
    module, fit = scaling(bad=0, max_steps=1)
    assert equal(weights(module), weights(seeded(Scaled)))
    assert fit.scaler.get_scale() == 2.0**9
    assert fit.global_step == 1


def test_the_scale_is_kept_in_the_checkpoint(tmp_path):
    _, fit = scaling()
    fit.save_checkpoint(path := tmp_path / "scaled.ckpt")
    assert torch.load(path)["MixedPrecision"]["scale"] == 2.0**10
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=4.0))
    again = trainer(plugins=plugin, max_epochs=2)
    again.fit_loop.bad = None
    again.fit(Scaled(), loader(), ckpt_path=path)
    assert again.scaler.get_scale() == 2.0**10


def test_a_module_can_be_built_in_its_precision():
    fit = trainer(precision="bf16-true")
    with fit.init_module():
        module = Regression()
    assert module.dtype == torch.bfloat16


def test_a_precision_is_not_given_twice():
    with pytest.raises(L.MisconfigurationException, match="both a precision plugin"):
        trainer(plugins=resolve_precision("bf16-true", "cpu"), precision="64-true")
