"""ModelPruning: what is zero, what comes back, and what is written."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import lit_studio as L
from lit_studio.callbacks import Callback, ModelPruning
from tests.unit.callbacks.models import Scripted, fit


class Network(Scripted):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Sequential(nn.Linear(4, 10), nn.Tanh(), nn.Linear(10, 1))


class EveryOther(prune.BasePruningMethod):
    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        mask = default_mask.clone()
        mask.view(-1)[::2] = 0
        return mask


def run(tmp_path, *callbacks, module=None, **kwargs):
    module = module or Network()
    settings = {"val": False, "logger": False, "enable_checkpointing": False, **kwargs}
    return module, fit(tmp_path, *callbacks, module=module, **settings)


def zeros(module):
    return sum(int((parameter == 0).sum()) for parameter in module.parameters())


def test_each_epoch_takes_its_share_of_what_is_left(tmp_path):
    module, _ = run(tmp_path, ModelPruning("l1_unstructured", parameter_names=["weight"], amount=0.5), max_epochs=2)
    assert zeros(module) == 25 + round(25 / 2)  # of 40 + 10
    assert not prune.is_pruned(module)
    assert {name for name, _ in module.named_parameters()} == {
        f"layer.{i}.{w}" for i in (0, 2) for w in ("weight", "bias")
    }


def test_the_smallest_of_all_parameters_are_taken(tmp_path):
    kept = {}

    class Keep(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            kept.update({name: parameter.detach().clone() for name, parameter in pl_module.named_parameters()})

    callback = ModelPruning("l1_unstructured", amount=20, use_lottery_ticket_hypothesis=False)
    module, _ = run(tmp_path, Keep(), callback, max_epochs=1)
    values = torch.cat([kept[name].abs().flatten() for name, _ in module.named_parameters()])
    limit = values.sort().values[20]
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter == 0, kept[name].abs() < limit)


def test_one_parameter_at_a_time(tmp_path):
    module = Network()
    chosen = [(module.layer[0], "weight")]
    settings = {"use_global_unstructured": False, "parameters_to_prune": chosen, "amount": 0.5}
    run(tmp_path, ModelPruning("l1_unstructured", **settings), module=module, max_epochs=1)
    assert int((module.layer[0].weight == 0).sum()) == zeros(module) == 20
    module = Network()
    settings["parameters_to_prune"] = [(module.layer[0], "weight")]
    run(tmp_path, ModelPruning("ln_structured", pruning_dim=0, pruning_norm=2, **settings), module=module, max_epochs=1)
    rows = (module.layer[0].weight == 0).all(dim=1)
    assert int(rows.sum()) == 5
    assert zeros(module) == 20


def test_a_winning_ticket_begins_with_the_initial_weights(tmp_path):
    first, seen = Network().state_dict(), []

    class Look(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            layer = pl_module.layer[0]
            seen.append((layer.weight_orig.detach().clone(), layer.weight_mask.clone()))

    callback = ModelPruning("l1_unstructured", amount=0.2, make_pruning_permanent=False)
    module, _ = run(tmp_path, callback, Look(), max_epochs=3)
    for original, _ in seen:
        assert torch.equal(original, first["layer.0.weight"])
    masks = [int(mask.sum()) for _, mask in seen]
    assert masks == sorted(masks, reverse=True)
    assert masks[-1] < masks[0]


def test_resampled_parameters_are_new_ones(tmp_path):
    first = Network().state_dict()["layer.0.weight"]
    settings = {"make_pruning_permanent": False, "amount": 0.2}
    module, _ = run(tmp_path, ModelPruning("l1_unstructured", resample_parameters=True, **settings), max_epochs=1)
    drawn = module.layer[0].weight_orig
    assert not torch.isclose(drawn, first).any()
    assert drawn.abs().max() <= 0.5  # what a Linear with 4 inputs draws from


def test_functions_of_the_epoch_say_whether_and_how_much(tmp_path):
    counts = []

    class Count(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            masks = [buffer for name, buffer in pl_module.named_buffers() if name.endswith("_mask")]
            counts.append(sum(int((mask == 0).sum()) for mask in masks))

    callback = ModelPruning(
        "l1_unstructured",
        amount=lambda epoch: 10 if epoch else 0,
        apply_pruning=lambda epoch: epoch != 2,
        use_lottery_ticket_hypothesis=lambda epoch: False,
    )
    run(tmp_path, callback, Count(), max_epochs=4)
    assert counts == [0, 10, 10, 20]


def test_a_method_of_ones_own(tmp_path):
    module, _ = run(tmp_path, ModelPruning(EveryOther), max_epochs=1)
    assert zeros(module) == 31  # of 61, over all parameters in a row


def test_pruning_after_validation_leaves_the_sanity_check_alone(tmp_path):
    module = Network()
    callback = ModelPruning("l1_unstructured", prune_on_train_epoch_end=False, amount=10, verbose=1)
    run(tmp_path, callback, module=module, val=True, max_epochs=1, num_sanity_val_steps=1)
    assert zeros(module) == 10


def test_checkpoints_hold_plain_weights_while_training_goes_on_with_masks(tmp_path):
    class Save(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "middle.ckpt")
                assert prune.is_pruned(pl_module)

    run(tmp_path, ModelPruning("l1_unstructured", amount=0.5), Save(), max_epochs=2)
    state = torch.load(tmp_path / "middle.ckpt")["state_dict"]
    assert state.keys() == Network().state_dict().keys()
    assert sum(int((value == 0).sum()) for value in state.values()) == 30  # of 61
    Network().load_state_dict(state)


def test_masks_may_stay_and_a_second_fit_goes_on(tmp_path):
    module, trainer = run(
        tmp_path, ModelPruning("l1_unstructured", amount=10, make_pruning_permanent=False), max_epochs=1
    )
    assert prune.is_pruned(module)
    trainer.fit_loop.max_epochs = 2
    from tests.unit.callbacks.models import loader

    trainer.fit(module, loader(8))
    masks = [buffer for name, buffer in module.named_buffers() if name.endswith("_mask")]
    assert sum(int((mask == 0).sum()) for mask in masks) == 20


def test_sparsity_is_logged(tmp_path, caplog):
    caplog.set_level("INFO", "lit_studio")
    run(tmp_path, ModelPruning("l1_unstructured", amount=0.5, verbose=2, parameter_names=["weight"]), max_epochs=1)
    assert "Applied `L1Unstructured`. Pruned: 0/50 (0.00%) -> 25/50 (50.00%)" in caplog.text
    assert "to `Linear(in_features=10, out_features=1, bias=True).weight` with amount=0.5" in caplog.text


def test_which_parameters_is_for_a_subclass_to_say(tmp_path):
    class Last(ModelPruning):
        def filter_parameters_to_prune(self, parameters_to_prune=()):
            return [pair for pair in parameters_to_prune if pair[0].out_features == 1]

    module, _ = run(tmp_path, Last("random_unstructured", amount=0.5, parameter_names=["weight"]), max_epochs=1)
    assert int((module.layer[2].weight == 0).sum()) == zeros(module) == 5


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"pruning_fn": "l3"}, "isn't available in PyTorch's built-in functions"),
        ({"parameter_names": ["gamma"]}, "name: gamma isn't in"),
        ({"pruning_fn": "ln_structured"}, "`pruning_dim` should be provided"),
        ({"pruning_fn": "ln_structured", "pruning_dim": 0}, "`pruning_norm` should be provided"),
        ({"pruning_fn": "random_structured", "pruning_dim": 0}, 'Only the "unstructured" PRUNING_TYPE'),
        ({"pruning_fn": EveryOther, "use_global_unstructured": False}, "only supported with `use_global"),
        ({"pruning_fn": EveryOther()}, "Pass the class, not an instance"),
        ({"amount": "half"}, "`amount` should be provided"),
        ({"verbose": 3}, "`verbose` must be any of"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(kwargs, words):
    with pytest.raises(L.MisconfigurationException, match=words):
        ModelPruning(**{"pruning_fn": "l1_unstructured", **kwargs})


def test_parameters_that_are_not_in_the_model_are_refused(tmp_path):
    module = Network()
    for given, words in [
        ([(nn.Linear(2, 2), "weight")], "don't exist in the model"),
        ([(module.layer[0], "gamma")], "don't exist in the model"),
        (["weight"], "list of tuple with 2 elements"),
    ]:
        with pytest.raises(L.MisconfigurationException, match=words):
            run(tmp_path, ModelPruning("l1_unstructured", parameters_to_prune=given), module=module)
