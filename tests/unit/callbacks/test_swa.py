"""Stochastic weight averaging in real fits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lit_studio.base.errors import MisconfigurationException
from lit_studio.callbacks import Callback, LambdaCallback, ModelCheckpoint, StochasticWeightAveraging
from tests.unit.callbacks.models import Scripted, fit

pytestmark = pytest.mark.filterwarnings("ignore:The dirpath has changed")  # a resume with another logger's folder


class Plain(Scripted):
    """Without BatchNorm; a scheduler of its own."""

    def __init__(self):
        super().__init__(lr=0.1)
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 1)

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)]


class Normed(Plain):
    """With BatchNorm."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.layer(self.norm(x))


def weights(module):
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def note(store):
    return LambdaCallback(on_train_epoch_end=lambda trainer, module: store.append(weights(module)))


def test_the_mean_of_the_weights_with_which_the_last_epochs_begin(tmp_path):
    store, rates, module = [], [], Plain()
    watch = LambdaCallback(
        on_train_epoch_start=lambda t, m: rates.append(round(t.optimizers[0].param_groups[0]["lr"], 6))
    )
    callback = StochasticWeightAveraging(0.05, swa_epoch_start=4, annealing_epochs=2, annealing_strategy="linear")
    trainer = fit(tmp_path, note(store), watch, callback, module=module, max_epochs=6)
    assert (callback.swa_start, callback.swa_end, callback.n_averaged) == (3, 5, 3)
    for name, parameter in module.named_parameters():
        assert torch.allclose(parameter, torch.stack([step[name] for step in store[2:5]]).mean(0), atol=1e-6)
    assert rates[:4] == [0.1, 0.09, 0.081, 0.0729]
    assert rates[4] == pytest.approx((0.0729 + 0.05) / 2, abs=1e-6)
    assert rates[5] == 0.05
    assert (trainer.current_epoch, trainer.global_step, trainer.max_epochs) == (6, 24, 6)


def test_batch_norm_gets_an_epoch_of_its_own(tmp_path):
    store, seen, module = [], [], Normed()

    class Watch(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            seen.append((trainer.current_epoch, trainer.global_step, set(outputs)))

    trainer = fit(tmp_path, note(store), Watch(), StochasticWeightAveraging(0.05, 0.6), module=module, max_epochs=5)
    assert (trainer.current_epoch, trainer.global_step, trainer.max_epochs) == (6, 20, 5)
    assert seen[-4:] == [(5, 20, {"loss"})] * 4
    for name, parameter in module.named_parameters():
        assert torch.allclose(parameter, torch.stack([step[name] for step in store[1:4]]).mean(0), atol=1e-6)
    assert module.norm.momentum == 0.1
    batches = trainer.train_dataloader
    means = torch.stack([x.mean(0) for x, _ in batches])
    assert torch.allclose(module.norm.running_mean, means.mean(0), atol=1e-6)


@pytest.mark.parametrize("kind", [Plain, Normed])
@pytest.mark.parametrize("at", [1, 3])
def test_a_resume_equals_the_unbroken_run(tmp_path, kind, at):
    def swa():
        return StochasticWeightAveraging(0.05, swa_epoch_start=3, annealing_epochs=3)

    whole = kind()
    saving = ModelCheckpoint(tmp_path / "c", "{epoch}", save_top_k=-1)
    fit(tmp_path, swa(), saving, module=whole, max_epochs=5)
    resumed = kind()
    fit(tmp_path, swa(), module=resumed, max_epochs=5, ckpt_path=tmp_path / "c" / f"epoch={at}.ckpt")
    for name, tensor in whole.state_dict().items():
        assert torch.allclose(resumed.state_dict()[name].float(), tensor.float(), atol=1e-6), name


def test_stopped_before_the_end(tmp_path):
    def stop(trainer, module):
        trainer.should_stop = trainer.current_epoch == 3

    store, module = [], Plain()
    fit(
        tmp_path,
        note(store),
        StochasticWeightAveraging(0.05, swa_epoch_start=3),
        LambdaCallback(on_train_epoch_end=stop),
        module=module,
        max_epochs=9,
    )
    assert torch.allclose(module.layer.weight, (store[1]["layer.weight"] + store[2]["layer.weight"]) / 2, atol=1e-6)
    store, module = [], Normed()
    trainer = fit(
        tmp_path,
        note(store),
        StochasticWeightAveraging(0.05, swa_epoch_start=3),
        LambdaCallback(on_train_epoch_end=stop),
        module=module,
        max_epochs=9,
    )
    assert torch.equal(module.layer.weight, store[-1]["layer.weight"])
    assert trainer.max_epochs == 9


def test_an_average_of_one_s_own(tmp_path):
    store, module = [], Plain()
    callback = StochasticWeightAveraging([0.05], 1, avg_fn=lambda average, current, count: current, device=None)
    fit(tmp_path, note(store), callback, module=module, max_epochs=3)
    assert torch.equal(module.layer.weight, store[-2]["layer.weight"])
    assert StochasticWeightAveraging.pl_module_contains_batch_norm(Normed())


@pytest.mark.parametrize(
    "arguments",
    [
        {"swa_lrs": 0.0},
        {"swa_lrs": []},
        {"swa_lrs": [0.1, -1.0]},
        {"swa_lrs": 0.1, "swa_epoch_start": 0},
        {"swa_lrs": 0.1, "swa_epoch_start": 1.5},
        {"swa_lrs": 0.1, "annealing_strategy": "exp"},
    ],
)
def test_arguments_that_make_no_sense(arguments):
    with pytest.raises(MisconfigurationException):
        StochasticWeightAveraging(**arguments)


def test_what_it_can_not_work_with(tmp_path):
    manual = Plain()
    manual.automatic_optimization = False
    with pytest.raises(MisconfigurationException, match="automatic optimization"):
        fit(tmp_path, StochasticWeightAveraging(0.1), module=manual)

    class FailEarly(Callback):
        def on_sanity_check_start(self, trainer, pl_module):
            raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"):
        fit(tmp_path, FailEarly(), StochasticWeightAveraging(0.1), module=Normed(), num_sanity_val_steps=1)
    with pytest.raises(MisconfigurationException, match="max_epochs"):
        fit(tmp_path, StochasticWeightAveraging(0.1), module=Plain(), max_epochs=-1, max_steps=3)


def test_without_a_last_epoch_it_averages_until_the_steps_are_done(tmp_path):
    store, module = [], Normed()
    callback = StochasticWeightAveraging(0.05, swa_epoch_start=2)
    trainer = fit(tmp_path, note(store), callback, module=module, max_epochs=-1, max_steps=16)
    assert (trainer.current_epoch, trainer.max_epochs, callback.n_averaged) == (4, -1, 3)
    assert torch.allclose(module.layer.weight, torch.stack([s["layer.weight"] for s in store[:3]]).mean(0), atol=1e-6)
    with pytest.raises(MisconfigurationException, match="`max_epochs=-1`"):
        fit(tmp_path, StochasticWeightAveraging(0.05, swa_epoch_start=0.5), module=Plain(), max_epochs=-1, max_steps=16)


def test_an_average_of_one_s_own_begins_with_the_weights_before_the_fit(tmp_path):
    module, seen = Plain(), []

    def average(before, current, count):
        seen.append((before.clone(), current.clone(), int(count)))
        return (before + current) / 2

    at_first = weights(module)
    fit(tmp_path, StochasticWeightAveraging(0.05, 2, avg_fn=average), module=module, max_epochs=2)
    assert seen[0][2] == 0
    assert torch.equal(seen[0][0], at_first["layer.weight"])
    assert not torch.equal(seen[0][1], at_first["layer.weight"])
