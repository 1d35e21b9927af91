"""Where Fabric runs, and what one rank says to itself."""

from __future__ import annotations

import pytest
import torch

import lit_studio as L
from lit_studio.fabric import Fabric, seed_everything


def fabric(**settings):
    return L.Fabric(accelerator="cpu", **settings)


def test_the_doors_lead_to_it():
    from lit_studio.fabric.fabric import Fabric as again
    from lit_studio.fabric.loggers import CSVLogger
    from lit_studio.fabric.wrappers import _FabricModule, _FabricOptimizer

    assert L.Fabric is Fabric is again
    assert seed_everything is L.seed_everything
    assert issubclass(CSVLogger, L.loggers.CSVLogger)
    model, optimizer = fabric().setup(net := torch.nn.Linear(1, 1), torch.optim.SGD(net.parameters(), lr=1.0))
    assert isinstance(model, _FabricModule)
    assert isinstance(optimizer, _FabricOptimizer)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"devices": 2, "strategy": "single_device"}, "one device only"),
        ({"devices": 0}, "no device"),
        ({"num_nodes": 2}, "where the other nodes are"),
        ({"strategy": "fsdp"}, "not available yet"),
        ({"strategy": "nonsense"}, "invalid strategy"),
        ({"strategy": 3}, "wrong type"),
        ({"accelerator": "nonsense"}, "invalid accelerator"),
        ({"precision": "12-true"}, "not supported"),
        ({"plugins": [3]}, "invalid type for a plugin"),
    ],
)
def test_what_there_is_not_is_refused_before_work_starts(settings, words):
    with pytest.raises(L.StudioError, match=words):
        L.Fabric(**{"accelerator": "cpu", **settings})


def test_one_process_is_rank_zero_of_one():
    f = fabric()
    assert (f.global_rank, f.local_rank, f.node_rank, f.world_size, f.is_global_zero) == (0, 0, 0, 1, True)
    assert f.device == torch.device("cpu")
    assert type(f.accelerator).__name__ == "CPUAccelerator"
    assert f.strategy.world_size == 1


def test_one_rank_says_to_itself_what_it_knows(capsys):
    f = fabric()
    f.barrier("here")
    assert f.broadcast({"a": 1}) == {"a": 1}
    gathered = f.all_gather({"a": 1, "b": [torch.ones(2), 2.0]})
    assert gathered["a"].item() == 1
    assert gathered["b"][0].shape == (2,)
    assert gathered["b"][1].item() == 2
    assert f.all_reduce(torch.tensor([3.0]), reduce_op="sum").item() == 3
    assert [x.item() for x in f.all_reduce((1, 2.5))] == [1, 2.5]
    with f.rank_zero_first(), f.rank_zero_first(local=True):
        f.print("said", "once", sep="-")
    assert capsys.readouterr().out == "said-once\n"
    model = f.setup(torch.nn.Linear(1, 1))
    for enabled in (True, False):
        with f.no_backward_sync(model, enabled=enabled):
            f.backward(model(torch.ones(1, 1)).sum())
    assert model.weight.grad.item() == 2


def test_things_go_to_the_device():
    f = fabric()
    f.strategy.connect(torch.device("meta"))
    assert f.to_device({"a": [torch.ones(1)]})["a"][0].device.type == "meta"
    assert f.to_device(torch.nn.Linear(1, 1)).weight.device.type == "meta"


def test_models_and_tensors_are_made_in_place_and_precision():
    f = fabric(precision="bf16-true")
    with f.init_module():
        assert torch.nn.Linear(2, 2).weight.dtype is torch.bfloat16
    with f.init_tensor():
        assert torch.ones(1).dtype is torch.bfloat16
    f.strategy.connect(torch.device("meta"))
    with f.init_module():
        assert torch.nn.Linear(2, 2).weight.device.type == "meta"
    with pytest.warns(DeprecationWarning, match="init_module"), f.sharded_model():
        pass


def test_empty_weights_are_not_initialized():
    f = fabric()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with f.init_module(empty_init=True):
        torch.nn.Linear(8, 8)
    assert torch.equal(torch.get_rng_state(), before)
    with f.init_module():
        torch.nn.Linear(8, 8)
    assert not torch.equal(torch.get_rng_state(), before)
