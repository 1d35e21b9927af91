"""What optimizers and their closures may count on, and what ends an epoch early."""

from __future__ import annotations

import pytest
import torch

import lit_studio as L
from lit_studio.pytorch.loggers import CSVLogger
from tests.unit.trainer.models import Regression, Validated, loader, trainer


class WithoutGradients(torch.optim.SGD):
    """Calls its closure where gradients are off, as some optimizers from elsewhere do."""

    @torch.no_grad()
    def step(self, closure=None):
        return super().step(closure)


def test_a_closure_runs_with_gradients_wherever_it_is_called():
    seen = []

    class Own(Regression):
        def training_step(self, batch, batch_idx):
            seen.append(torch.is_grad_enabled())
            return super().training_step(batch, batch_idx)

        def configure_optimizers(self):
            return WithoutGradients(self.parameters(), lr=0.1)

    trainer().fit(Own(), loader(4))
    assert seen == [True, True]


def test_an_optimizer_step_that_forgets_the_closure_is_an_error():
    class Own(Regression):
        def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
            optimizer.optimizer.step()

    with pytest.raises(L.MisconfigurationException, match="closure hasn't been executed"):
        trainer().fit(Own(), loader())


def test_manual_optimization_refuses_what_is_no_output_even_if_nobody_looks_at_it():
    class Own(Regression):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, batch_idx):
            return 5

    with pytest.raises(L.MisconfigurationException, match="return a Tensor or have no return"):
        trainer().fit(Own(), loader())


def test_the_rest_of_an_epoch_can_be_skipped_and_its_schedulers_step():
    class Own(Regression):
        def on_train_batch_start(self, batch, batch_idx):
            return -1 if batch_idx == 2 else None

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=1e-3)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)]

    fit = trainer(max_epochs=3)
    fit.fit(Own(), loader())
    assert fit.global_step == 6
    assert fit.is_last_batch
    assert fit.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-6)


def test_hooks_get_the_part_of_the_loss_that_was_differentiated():
    seen, losses = [], []

    class Own(Regression):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            losses.append(float(loss.detach()))
            return {"loss": loss, "other": loss.detach()}

        def on_train_batch_end(self, outputs, batch, batch_idx):
            seen.append((float(outputs["loss"]), float(outputs["other"])))

    trainer(accumulate_grad_batches=2).fit(Own(), loader(6))
    assert seen == [(pytest.approx(loss / 2), loss) for loss in losses]


def test_values_reach_the_loggers_after_accumulation_has_ended(tmp_path):
    logger = CSVLogger(tmp_path)
    schedule = L.callbacks.GradientAccumulationScheduler({0: 2, 1: 1})
    trainer(max_epochs=2, callbacks=[schedule], logger=logger, log_every_n_steps=1).fit(Regression(), loader(8))
    rows = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [["0", "0"], ["0", "1"], *(["1", str(s)] for s in range(2, 6))]


def test_a_step_without_gradients_of_its_own_leaves_none_of_an_earlier_call():
    module = Regression()
    module.error(next(iter(loader()))).backward()
    trainer().validate(type("Own", (Regression,), {"validation_step": lambda *_: None})(), loader())
    trainer().test(module, loader(), verbose=False)
    assert all(parameter.grad is None for parameter in module.parameters())


def test_an_epoch_that_a_bound_cut_short_goes_on_where_it_was_cut(tmp_path):
    class Noting(L.Callback):
        def __init__(self):
            self.seen = []

        def on_train_epoch_start(self, trainer, pl_module):
            self.seen.append(("epoch", trainer.current_epoch))

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.seen.append((trainer.current_epoch, batch_idx, float(batch[0].sum())))

    def fit(steps, ckpt_path=None):
        noting, saving = Noting(), L.callbacks.ModelCheckpoint(tmp_path, str(steps))
        one = trainer(max_epochs=-1, max_steps=steps, callbacks=[noting, saving], enable_checkpointing=True)
        one.fit(Regression(), loader(8), ckpt_path=ckpt_path)
        return noting.seen

    whole = fit(6)
    assert fit(3) + fit(6, tmp_path / "3.ckpt") == whole


def test_clipping_is_asked_for_by_keyword():
    seen = []

    class Own(Regression):
        def clip_gradients(self, optimizer, *, gradient_clip_val, gradient_clip_algorithm):
            seen.append((gradient_clip_val, gradient_clip_algorithm))

        def configure_gradient_clipping(self, optimizer, gradient_clip_val, gradient_clip_algorithm):
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    trainer(gradient_clip_val=0.5, gradient_clip_algorithm="value").fit(Own(), loader(2))
    assert seen == [(0.5, "value")]


@pytest.mark.parametrize("at", [2, 3])
@pytest.mark.parametrize("hooked", [False, True])
def test_a_batch_whose_step_failed_is_trained_on_after_a_resume(tmp_path, hooked, at):
    class Failing(Regression):
        fails = True

        def training_step(self, batch, batch_idx):
            if self.fails and batch_idx == at:
                raise RuntimeError("once")
            seen.append(batch_idx)
            return super().training_step(batch, batch_idx)

    def callbacks():
        watching = L.Callback()
        if hooked:
            watching.on_train_batch_start = lambda *_: None
        return [L.callbacks.OnExceptionCheckpoint(tmp_path), watching]

    seen: list[int] = []
    module = Failing()
    with pytest.raises(RuntimeError, match="once"):
        trainer(callbacks=callbacks(), enable_checkpointing=True).fit(module, loader())
    module.fails = False
    fit = trainer(callbacks=callbacks(), enable_checkpointing=True)
    fit.fit(module, loader(), ckpt_path=tmp_path / "on_exception.ckpt")
    assert seen == [0, 1, 2, 3]
    assert fit.global_step == 4


def test_what_validation_in_a_fit_leaves_in_the_module_can_be_trained_with():
    class Caching(Validated):
        cache = None

        def validation_step(self, batch, batch_idx):
            self.cache = batch[0].sum() * 0 + 1
            modes.append(torch.is_inference_mode_enabled())

        def training_step(self, batch, batch_idx):
            scale = 1.0 if self.cache is None else self.cache
            return super().training_step(batch, batch_idx) * (self.layer.weight.sum() * scale).square()

    modes: list[bool] = []
    fit, module = trainer(num_sanity_val_steps=1), Caching()
    fit.fit(module, loader(2), loader(2))
    fit.validate(module, loader(2), verbose=False)
    assert modes == [False, False, True]
