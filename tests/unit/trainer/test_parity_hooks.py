"""Where Lightning's programs look: how hooks are called, in which order, and what they get."""

from __future__ import annotations

import pytest
import torch

import lit_studio as L
from lit_studio.pytorch.callbacks import ModelCheckpoint
from tests.unit.trainer.models import OFF, Regression, Validated, loader, seeded, trainer


def test_setup_and_teardown_get_the_stage_by_keyword():
    seen = []

    class Asking(L.Callback):
        def setup(self, trainer, pl_module, *, stage):
            seen.append(stage)

        def teardown(self, trainer, pl_module, *, stage):
            seen.append(stage)

    class Own(Regression):
        def setup(self, *, stage):
            seen.append(stage)

    fit = trainer(callbacks=Asking())
    fit.fit(Own(), loader())
    fit.test(Own(), loader(), verbose=False)
    assert seen == ["fit"] * 3 + ["test"] * 3


def test_clipping_gets_its_arguments_by_keyword():
    seen = []

    class Own(Regression):
        def configure_gradient_clipping(self, optimizer, **settings):
            seen.append(settings)

    trainer(gradient_clip_val=0.5).fit(Own(), loader(2))
    assert seen == [{"gradient_clip_val": 0.5, "gradient_clip_algorithm": None}]


def test_a_skipped_step_ends_with_an_empty_mapping():
    seen = []

    class Skipping(Regression):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) if batch_idx else None

        def on_train_batch_end(self, outputs, batch, batch_idx):
            seen.append(sorted(outputs))

    with pytest.warns(UserWarning, match="None"):
        trainer().fit(Skipping(), loader(4))
    assert seen == [[], ["loss"]]


class Manual(Regression):
    answer = None

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        return self.error(batch) if self.answer is torch.Tensor else self.answer

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.outputs = outputs


@pytest.mark.parametrize(("answer", "keys"), [(None, []), (torch.Tensor, ["loss"]), ({"a": 1}, ["a"])])
def test_a_manual_steps_answer_reaches_the_hooks_as_a_mapping(answer, keys):
    module = Manual()
    module.answer = answer
    trainer().fit(module, loader(2))
    assert sorted(module.outputs) == keys
    assert not any(isinstance(value, torch.Tensor) and value.requires_grad for value in module.outputs.values())


def test_a_manual_steps_answer_of_another_kind_is_refused():
    module = Manual()
    module.answer = "loss"
    with pytest.raises(L.MisconfigurationException, match="manual"):
        trainer().fit(module, loader(2))


def test_gradients_are_zeroed_when_validation_has_begun():
    stages = []

    class Own(Validated):
        def on_validation_model_zero_grad(self):
            stages.append(self.trainer.validating)
            super().on_validation_model_zero_grad()

    trainer().fit(Own(), loader(), loader())
    assert stages == [True]


def test_a_checkpoint_is_loaded_by_the_module_first_and_by_callbacks_in_every_call(tmp_path):
    seen = []

    class Keeping(L.Callback):
        def state_dict(self):
            return {"kept": 3}

        def load_state_dict(self, state_dict):
            seen.append(state_dict)

        def on_load_checkpoint(self, trainer, pl_module, checkpoint):
            seen.append(torch.equal(pl_module.layer.weight, checkpoint["state_dict"]["layer.weight"]))

    class Own(Regression):
        def on_load_checkpoint(self, checkpoint):
            seen.append("module")

    fit = trainer(callbacks=Keeping())
    fit.fit(Own(), loader())
    fit.save_checkpoint(tmp_path / "a.ckpt")
    trainer(callbacks=Keeping()).test(Own(), loader(), ckpt_path=tmp_path / "a.ckpt", verbose=False)
    assert seen == ["module", True, {"kept": 3}]


def test_a_fit_with_nothing_left_to_do_calls_no_training_hooks():
    seen = []

    class Noting(L.Callback):
        def on_fit_start(self, *_):
            seen.append("fit")

        def on_train_start(self, *_):
            seen.append("train")

    fit, module = trainer(callbacks=Noting()), Regression()
    for _ in range(2):
        fit.fit(module, loader())
    assert seen == ["fit", "train", "fit"]
    trainer(callbacks=Noting(), max_time="00:00:00:00").fit(module, loader())
    assert seen == ["fit", "train", "fit", "fit"]


def test_a_profiler_is_always_there():
    class Measuring(Regression):
        def training_step(self, batch, batch_idx):
            with self.trainer.profiler.profile("mine"):
                return super().training_step(batch, batch_idx)

    trainer().fit(Measuring(), loader())


def test_a_trainer_can_be_asked_before_its_first_call():
    fit = L.Trainer(accelerator="cpu", **OFF)
    assert fit.lightning_module is None
    assert fit.estimated_stepping_batches == -1
    assert fit.fast_dev_run is False
    with pytest.raises(AttributeError, match="a model is attached"):
        fit.save_checkpoint("a.ckpt")


def test_what_a_fit_found_can_be_asked_for_after_a_test():
    fit, module = trainer(), Validated()
    fit.fit(module, loader(8), loader(4))
    fit.test(module, loader(2), verbose=False)
    assert (fit.num_training_batches, fit.num_val_batches, fit.num_test_batches) == (4, [2], [1])


def test_several_optimizers_need_manual_optimization():
    class Two(Regression):
        def configure_optimizers(self):
            return [torch.optim.SGD([p], lr=0.1) for p in self.parameters()]

    with pytest.raises(RuntimeError, match="manual optimization"):
        trainer().fit(Two(), loader())


def test_a_class_may_set_what_instances_have(tmp_path):
    class ByHand(Regression):
        automatic_optimization = False
        example_input_array = torch.ones(1, 4)

        def training_step(self, batch, batch_idx):
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(self.error(batch))
            optimizer.step()

    class Computing(Regression):
        @property
        def example_input_array(self):
            return torch.ones(3, 4)

    module = ByHand()
    before = module.layer.weight.detach().clone()
    (fit := trainer()).fit(module, loader())
    assert fit.global_step == 4
    assert not torch.equal(before, module.layer.weight)
    assert (module.example_input_array.shape, Computing().example_input_array.shape) == ((1, 4), (3, 4))


def test_without_an_optimizer_gradients_add_up_and_steps_count():
    class Gathering(Regression):
        def configure_optimizers(self):
            return None

        def training_step(self, batch, batch_idx):
            return self.layer.bias.sum()

    module = Gathering()
    with pytest.warns(UserWarning, match="configure_optimizers"):
        (fit := trainer()).fit(module, loader())
    assert (fit.global_step, module.layer.bias.grad.item()) == (4, 4)


def test_a_test_without_a_module_takes_the_best_checkpoint_of_the_fit(tmp_path):
    class Worse(Validated):
        def validation_step(self, batch, batch_idx):
            self.log("val_loss", float(self.current_epoch))

    best = ModelCheckpoint(tmp_path, monitor="val_loss")
    fit = trainer(max_epochs=2, callbacks=best, enable_checkpointing=True)
    module = seeded(Worse)
    fit.fit(module, loader(), loader())
    now = module.layer.weight.detach().clone()
    fit.test(module, loader(), verbose=False)
    assert torch.equal(module.layer.weight, now)
    with pytest.warns(UserWarning, match="best model"):
        fit.test(dataloaders=loader(), verbose=False)
    assert fit.ckpt_path == best.best_model_path
    assert not torch.equal(module.layer.weight, now)
    assert torch.equal(module.layer.weight, torch.load(best.best_model_path)["state_dict"]["layer.weight"])
