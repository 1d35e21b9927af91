"""Fabric on two ranks: a loop of one's own in new processes and in copies of the script."""

from __future__ import annotations

import json

import pytest
import torch
from torch.utils.data import DataLoader

import lit_studio as L
from tests.distributed.program import BATCH, Regression, dataset


def train(fabric, path):
    """The program's training, by hand; what this rank found."""
    net = Regression()
    model, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), lr=0.05))
    model.mark_forward_method("loss")
    loader = fabric.setup_dataloaders(DataLoader(dataset(), batch_size=BATCH))
    for _ in range(3):
        for batch in loader:
            with fabric.no_backward_sync(model, enabled=False):
                fabric.backward(model.loss(batch))
            optimizer.step()
            optimizer.zero_grad()
    with fabric.rank_zero_first():
        order = path.with_suffix(".order").exists()  # rank 1 finds what rank 0 has made
        path.with_suffix(".order").touch()
    fabric.save(path, {"model": model, "optimizer": optimizer})
    with torch.no_grad():
        net.layers[0].weight.zero_()
    fabric.load(path, {"model": model})
    return {
        "weights": [p.tolist() for p in net.parameters()],
        "same": bool((torch.diff(fabric.all_gather(net.layers[0].weight.detach()), dim=0) == 0).all()),
        "gathered": fabric.all_gather({"rank": fabric.global_rank})["rank"].tolist(),
        "sum": fabric.all_reduce(torch.tensor(fabric.global_rank + 1.0), reduce_op="sum").item(),
        "order": order,
        "ranks": [fabric.global_rank, fabric.world_size],
    }


def check(found, torchrun, path):
    """It is what the Trainer makes of the same data."""
    for mine, theirs in zip(found["weights"], torchrun[0]["weights"], strict=True):
        assert torch.allclose(torch.tensor(mine), torch.tensor(theirs), atol=1e-6)
    assert (found["same"], found["gathered"], found["sum"], found["order"]) == (True, [0, 1], 3.0, False)
    assert found["ranks"] == [0, 2]
    assert set(torch.load(path)) == {"model", "optimizer"}


def test_a_launched_function_runs_on_new_processes_and_its_result_comes_back(torchrun, tmp_path):
    fabric = L.Fabric(accelerator="cpu", devices=2, strategy="ddp_fork")
    check(fabric.launch(train, tmp_path / "it.ckpt"), torchrun, tmp_path / "it.ckpt")


SCRIPT = """
import json, sys
from pathlib import Path
import lit_studio as L
from tests.distributed.test_fabric import train

fabric = L.Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
found = train(fabric, Path(sys.argv[1]))
if fabric.is_global_zero:
    print("found", json.dumps(found), flush=True)
"""


def test_a_script_goes_on_as_two_after_launch(script, torchrun, tmp_path):
    path = tmp_path / "it.ckpt"
    run = script(SCRIPT, path)
    line = run.wait_for_line("found")
    check(json.loads(line.removeprefix("found ")), torchrun, path)
    assert run.process.wait(timeout=20) == 0


def test_several_devices_need_a_launch():
    fabric = L.Fabric(accelerator="cpu", devices=2, strategy="ddp")
    with pytest.raises(RuntimeError, match=r"you must call `\.launch\(\)`"):
        fabric.setup(torch.nn.Linear(1, 1))


def test_new_processes_need_a_function():
    with pytest.raises(TypeError, match="needs to be called with a function"):
        L.Fabric(accelerator="cpu", devices=2, strategy="ddp_spawn").launch()
