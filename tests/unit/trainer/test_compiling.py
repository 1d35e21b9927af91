"""`Trainer(compile=…)`: what goes to torch.compile, and that nothing of it stays; by a backend that only counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import lit_studio as L
from lit_studio.trainer.compiling import regions, resolve_compile
from tests.unit.trainer.models import loader

# torch, while tracing, looks at the gradients of inputs that are no leaves.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
OFF = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


class Block(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.linear(self.norm(x))


class Deep(nn.Module):
    def __init__(self, depth=4):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.blocks = nn.ModuleList(Block() for _ in range(depth))
        self.head = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Module(L.LightningModule):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def training_step(self, batch, batch_idx):
        loss = self.network(batch[0]).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


@pytest.fixture
def graphs():
    """A backend that runs graphs as they are and keeps them."""
    torch._dynamo.reset()
    found = []

    def backend(graph, inputs):
        found.append(graph)
        return graph.forward

    yield found, backend
    torch._dynamo.reset()


def test_blocks_that_repeat_are_taken_one_by_one_and_the_rest_whole():
    module = Module(Deep())
    found = regions(module)
    assert found == [*module.network.blocks, module.network.head]


def test_a_residual_network_is_taken_block_by_block():
    stage = nn.Sequential(Block(), Block())
    module = Module(nn.Sequential(nn.Linear(4, 4), stage, nn.Sequential(Block(), Block())))
    assert [type(part) for part in regions(module)] == [Block] * 4


def test_a_part_without_blocks_is_taken_whole():
    module = Module(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)))
    assert regions(module) == [module.network]


def test_single_layers_are_left_alone_unless_forward_joins_them():
    class Flat(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    class Forward(Flat):
        def forward(self, x):
            return self.b(self.a(x))

    assert regions(Flat()) == []
    module = Forward()
    assert regions(module) == [module]


def test_equal_blocks_share_one_compilation(graphs):
    found, backend = graphs
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", compile={"backend": backend}, **OFF)
    module = Module(Deep(depth=6))
    names = set(module.state_dict())
    trainer.fit(module, loader(8, 2))
    assert len(found) <= 4  # the block and the head, at most once more each for a shape or a first gradient
    assert set(module.state_dict()) == names
    assert all(part._compiled_call_impl is None for part in module.modules())


def test_the_weights_are_those_of_plain_training(graphs):
    _, backend = graphs
    ends = []
    for options in (None, {"backend": backend}):
        L.seed_everything(1, verbose=False)
        module = Module(Deep())
        L.Trainer(max_epochs=2, accelerator="cpu", compile=options, **OFF).fit(module, loader(8, 2))
        ends.append(torch.cat([parameter.detach().flatten() for parameter in module.parameters()]))
    assert torch.allclose(*ends, atol=1e-6)


def test_an_error_leaves_the_module_plain(graphs):
    _, backend = graphs

    class Failing(Module):
        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)
            raise ZeroDivisionError("mine")

    module = Failing(Deep())
    with pytest.raises(ZeroDivisionError, match="mine"):
        L.Trainer(max_epochs=1, accelerator="cpu", compile={"backend": backend}, **OFF).fit(module, loader(8, 2))
    assert all(part._compiled_call_impl is None for part in module.modules())


def test_what_a_person_compiled_stays_as_it_is(graphs):
    found, backend = graphs
    module = Module(Deep())
    module.network.head.compile(backend=backend)
    mine = module.network.head._compiled_call_impl
    L.Trainer(max_epochs=1, accelerator="cpu", compile={"backend": "eager"}, **OFF).fit(module, loader(8, 2))
    assert module.network.head._compiled_call_impl is mine


def test_nothing_to_compile_is_said(caplog):
    class Bare(Module):
        def training_step(self, batch, batch_idx):
            return self.network(batch[0]).square().mean()

    module = Bare(nn.Linear(4, 2))
    L.Trainer(max_epochs=1, accelerator="cpu", compile={"backend": "eager"}, **OFF).fit(module, loader(8, 2))
    assert "found nothing to compile" in caplog.text


def test_a_machine_without_a_compiler_says_so_before_work_starts(monkeypatch):
    monkeypatch.setenv("PATH", "")
    module = Module(Deep())
    with pytest.raises(L.MisconfigurationException, match=r"C\+\+ compiler(.|\n)*apt install g\+\+"):
        L.Trainer(max_epochs=1, accelerator="cpu", compile=True, **OFF).fit(module, loader(8, 2))


@pytest.mark.parametrize(
    ("given", "options"),
    [(None, None), (False, None), (True, {}), ("max-autotune", {"mode": "max-autotune"}), ({"dynamic": True},) * 2],
)
def test_the_argument_s_forms(given, options):
    assert resolve_compile(given) == options


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("fast", L.InvalidValueError, "max-autotune"),
        ({"speed": 1}, L.InvalidValueError, "speed"),
        (3, L.InvalidTypeError, "a dict"),
    ],
)
def test_wrong_arguments_are_refused(given, error, words):
    with pytest.raises(error, match=words):
        L.Trainer(compile=given)
