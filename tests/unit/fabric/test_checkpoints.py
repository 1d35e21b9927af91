"""Fabric's checkpoints: what goes in comes out, in place, and what is wrong is named."""

from __future__ import annotations

import pytest
import torch

import lit_studio as L
from tests.unit.fabric.conftest import Loop


class Counter:
    def __init__(self, n=0):
        self.n = n

    def state_dict(self):
        return {"n": self.n}

    def load_state_dict(self, state):
        self.n = state["n"]


def test_a_loop_goes_on_from_its_checkpoint_as_if_nothing_had_happened(tmp_path):
    whole, first, second = Loop(), Loop(), Loop()
    whole.epoch(log=False)
    whole.epoch(log=False)
    first.epoch(log=False)
    state = {"model": first.model, "optimizer": first.optimizer, "counter": Counter(5), "epoch": 1, "extra": "x"}
    first.fabric.save(tmp_path / "one.ckpt", state)
    with torch.no_grad():
        second.network.weight.zero_()
    counter = Counter()
    state = {"model": second.model, "optimizer": second.optimizer, "counter": counter, "epoch": 0}
    assert second.fabric.load(tmp_path / "one.ckpt", state) == {"extra": "x"}
    assert (state["epoch"], counter.n) == (1, 5)
    assert state["model"] is second.model
    second.epoch(log=False)
    assert second.losses == whole.losses[8:]


def test_a_whole_checkpoint_is_plain_and_torch_reads_it(loop, tmp_path):
    loop.fabric.save(tmp_path / "one.ckpt", {"model": loop.model, "step": 3})
    content = loop.fabric.load(tmp_path / "one.ckpt")
    assert set(content) == {"model", "step"}
    assert list(content["model"]) == ["weight", "bias"]
    assert torch.load(tmp_path / "one.ckpt", weights_only=True)["step"] == 3


def test_a_compiled_coat_is_saved_without_prefix(loop, tmp_path):
    compiled = torch.compile(loop.model, backend="eager")
    loop.fabric.save(tmp_path / "one.ckpt", {"model": compiled})
    assert list(torch.load(tmp_path / "one.ckpt")["model"]) == ["weight", "bias"]


def test_a_filter_keeps_what_it_says(loop, tmp_path):
    state = {"model": loop.model, "other": {"a": 1, "b": 2}}
    keep = {"model": lambda name, value: "bias" not in name, "other": lambda name, value: value > 1}
    loop.fabric.save(tmp_path / "one.ckpt", state, filter=keep)
    content = loop.fabric.load(tmp_path / "one.ckpt")
    assert (list(content["model"]), content["other"]) == (["weight"], {"b": 2})
    with pytest.raises(TypeError, match="should be a dictionary"):
        loop.fabric.save(tmp_path / "two.ckpt", state, filter=[1])
    with pytest.raises(ValueError, match="not present in the state"):
        loop.fabric.save(tmp_path / "two.ckpt", state, filter={"nothing": print})
    with pytest.raises(TypeError, match="callable"):
        loop.fabric.save(tmp_path / "two.ckpt", state, filter={"model": 3})
    assert not (tmp_path / "two.ckpt").exists()


def test_what_is_missing_is_named_unless_it_may_be(loop, tmp_path):
    loop.fabric.save(tmp_path / "one.ckpt", {"model": {"weight": loop.network.weight.detach() + 1}})
    before = loop.network.bias.detach().clone()
    with pytest.raises(L.CheckpointError, match="'optimizer' that does not exist"):
        loop.fabric.load(tmp_path / "one.ckpt", {"model": loop.model, "optimizer": loop.optimizer})
    with pytest.raises(RuntimeError, match="Missing key"):
        loop.fabric.load(tmp_path / "one.ckpt", {"model": loop.model})
    state = {"model": loop.model, "optimizer": loop.optimizer}
    assert loop.fabric.load(tmp_path / "one.ckpt", state, strict=False) == {}
    assert torch.equal(loop.network.bias, before)
    with pytest.raises(L.CheckpointNotFoundError):
        loop.fabric.load(tmp_path / "none.ckpt")


def test_a_bare_state_dict_is_loaded(loop, tmp_path):
    torch.save(torch.nn.Linear(4, 1).state_dict(), tmp_path / "bare.pt")
    loop.fabric.load_raw(tmp_path / "bare.pt", loop.model)
    assert torch.equal(loop.network.weight, torch.load(tmp_path / "bare.pt")["weight"])
    with pytest.raises(TypeError, match="no state"):
        loop.fabric.load_raw(tmp_path / "bare.pt", 3)


def test_a_plugin_saves_and_loads_instead(tmp_path):
    kept = {}

    class Memory:
        def save_checkpoint(self, checkpoint, path, storage_options=None):
            kept[str(path)] = checkpoint

        def load_checkpoint(self, path, map_location=None):
            return dict(kept[str(path)])

        def remove_checkpoint(self, path):
            del kept[str(path)]

    loop = Loop(plugins=[Memory()])
    loop.fabric.save("somewhere", {"model": loop.model, "n": 1})
    assert loop.fabric.load("somewhere", {"model": loop.model}) == {"n": 1}
    assert list(tmp_path.iterdir()) == []
