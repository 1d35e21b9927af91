"""Models, optimizers and loaders in Fabric's coats behave like what they cover."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

import lit_studio as L
from lit_studio.base.runs import RunDirectory
from lit_studio.fabric import is_wrapped
from lit_studio.trainer.precision import MixedPrecision


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)
        self.seen = []
        self.size = 7

    def forward(self, x):
        self.seen.append((x.dtype, torch.is_autocast_enabled("cpu")))
        return self.layer(x)

    def score(self, x):
        return {"score": self.forward(x), "n": 3}


def fabric(**settings):
    return L.Fabric(accelerator="cpu", **settings)


def bare_losses(epochs):
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    data = TensorDataset(torch.randn(32, 4), torch.randn(32, 1))
    losses = []
    for _ in range(epochs):
        for inputs, targets in DataLoader(data, batch_size=4):
            optimizer.zero_grad()
            loss = (network(inputs) - targets).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def test_the_loop_computes_what_the_bare_loop_computes(loop):
    loop.epoch()
    loop.epoch(log=False)
    assert loop.losses == bare_losses(2)


def test_a_model_forwards_its_attributes_and_state_without_prefix():
    net = Net()
    model = fabric().setup(net)
    assert is_wrapped(model)
    assert not is_wrapped(net)
    assert model.module is net
    assert model.size == 7
    assert model.layer is net.layer
    assert list(model.state_dict()) == ["layer.weight", "layer.bias"]
    assert len(list(model.parameters())) == 2
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    model.size = 8
    model.fresh = 1
    assert (net.size, net.fresh) == (8, 1)
    model.eval()
    assert not net.layer.training
    model.load_state_dict({name: torch.ones_like(value) for name, value in net.state_dict().items()})
    assert net.layer.weight.eq(1).all()
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        model.nothing_of_that_name  # noqa: B018


def test_a_copy_of_a_model_is_a_model_of_the_same_run(loop):
    loop.epoch()  # a run is open, with files
    loop.model.eval()
    twin = copy.deepcopy(loop.model)
    assert twin.module is not loop.network
    assert not twin.training
    assert torch.equal(twin(torch.ones(1, 4)), loop.model(torch.ones(1, 4)))
    with torch.no_grad():
        twin.weight.zero_()
    assert not loop.network.weight.eq(0).any()
    loop.fabric.finish()


def test_setup_returns_its_arguments_in_their_order():
    net = Net()
    optimizers = [torch.optim.SGD([parameter], lr=0.1) for parameter in net.parameters()]
    schedule = torch.optim.lr_scheduler.StepLR(optimizers[0], 1)
    model, first, second, scheduler = fabric().setup(net, *optimizers, scheduler=schedule)
    assert model.module is net
    assert [first.optimizer, second.optimizer] == optimizers
    assert scheduler is schedule
    assert fabric().setup_optimizers(*[torch.optim.SGD(net.parameters()) for _ in range(2)])[1].optimizer


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda f, net, opt: f.setup(f.setup(net)), ValueError, "only once"),
        (lambda f, net, opt: f.setup_optimizers(f.setup_optimizers(opt)), ValueError, "only once"),
        (lambda f, net, opt: f.setup(net, f.setup_optimizers(opt)), ValueError, "only once"),
        (lambda f, net, opt: f.setup_optimizers(), ValueError, "at least one"),
        (lambda f, net, opt: f.setup_dataloaders(), ValueError, "at least one"),
        (lambda f, net, opt: f.setup_dataloaders([1]), TypeError, "DataLoader"),
        (lambda f, net, opt: f.setup_dataloaders(f.setup_dataloaders(DataLoader([1]))), ValueError, "only once"),
        (lambda f, net, opt: f.setup(3), TypeError, "module"),
        (lambda f, net, opt: f.setup(net, net), TypeError, "optimizers"),
        (lambda f, net, opt: f.no_backward_sync(net), TypeError, "set up"),
        (lambda f, net, opt: f.clip_gradients(net, opt), L.MisconfigurationException, "clip_val"),
        (lambda f, net, opt: f.clip_gradients(net, opt, 1.0, 1.0), L.MisconfigurationException, "max_norm"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, error, words):
    net = Net()
    with pytest.raises(error, match=words) as found:
        wrong(fabric(), net, torch.optim.SGD(net.parameters(), lr=0.1))
    assert isinstance(found.value, L.StudioError)


def test_an_optimizer_passes_for_its_class_and_shares_its_state():
    weight = torch.nn.Parameter(torch.ones(2))
    inner = torch.optim.Adam([weight], lr=0.5)
    optimizer = fabric().setup_optimizers(inner)
    assert isinstance(optimizer, torch.optim.Adam)
    assert optimizer.param_groups is inner.param_groups
    weight.sum().backward()
    optimizer.step()
    assert optimizer.state[weight]["step"] == 1
    optimizer.zero_grad()
    assert weight.grad is None
    saved = copy.deepcopy(optimizer.state_dict())
    assert saved["param_groups"][0]["lr"] == 0.5
    saved["param_groups"][0]["lr"] = 0.25
    optimizer.load_state_dict(saved)
    assert inner.param_groups[0]["lr"] == 0.25
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    assert len(inner.param_groups) == 2


def test_schedulers_and_closures_work_on_a_covered_optimizer():
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = fabric().setup_optimizers(torch.optim.SGD([weight], lr=1.0))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (2 * weight).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2
    scheduler.step()
    assert weight.item() == -1
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_callbacks_hear_of_setup_and_steps_and_what_they_are_called_for():
    heard = []

    class Listener:
        note = 3

        def on_after_setup(self, fabric, module):
            heard.append(("setup", type(module.module)))

        def on_after_optimizer_step(self, strategy, optimizer):
            heard.append(("step", optimizer))

        def on_end(self, a, b=0):
            heard.append(("end", a, b))

    net = Net()
    inner = torch.optim.SGD(net.parameters(), lr=0.1)
    f = fabric(callbacks=[Listener(), object()])
    _, optimizer = f.setup(net, inner)
    optimizer.step()
    f.call("on_end", 1, b=2, not_taken=3)
    f.call("nobody_has_it")
    assert heard == [("setup", Net), ("step", inner), ("end", 1, 2)]
    with pytest.warns(UserWarning, match="not callable"):
        f.call("note")


@pytest.mark.parametrize(
    ("precision", "weights", "inputs", "autocast"),
    [
        ("32-true", torch.float32, torch.float32, False),
        ("64-true", torch.float64, torch.float64, False),
        ("bf16-true", torch.bfloat16, torch.bfloat16, False),
        ("bf16-mixed", torch.float32, torch.float32, True),
    ],
)
def test_forward_and_marked_methods_run_in_the_precision(precision, weights, inputs, autocast):
    net = Net()
    model = fabric(precision=precision).setup(net)
    assert net.layer.weight.dtype is weights
    assert model(torch.ones(3, 4)).dtype is torch.float32
    model.mark_forward_method("score")
    assert model.score(torch.ones(3, 4))["score"].dtype is torch.float32
    assert net.seen == [(inputs, autocast)] * 2
    assert not torch.is_autocast_enabled("cpu")
    assert torch.get_default_dtype() is torch.float32


def test_only_methods_can_be_marked():
    model = fabric().setup(Net())
    with pytest.raises(ValueError, match="forward method itself"):
        model.mark_forward_method("forward")
    with pytest.raises(AttributeError, match="does not exist"):
        model.mark_forward_method("size")
    with pytest.raises(TypeError, match="by itself or its name"):
        model.mark_forward_method(3)
    model.mark_forward_method(model.module.score)
    assert model.score(torch.ones(1, 4))["n"] == 3


def test_one_precision_inside_another_is_left_again():
    f = fabric(precision="bf16-mixed")
    inner = f.setup(Net())

    class Outer(torch.nn.Module):
        def forward(self, x):
            return inner(x)

    outer = f.setup(Outer())
    with f.autocast():
        outer(torch.ones(1, 4))
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")


def test_a_scaled_loss_needs_fabrics_backward_and_gradients_come_back_to_size():
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    f = fabric(plugins=MixedPrecision("16-mixed", "cpu", scaler))
    net = Net()
    model, optimizer = f.setup(net, torch.optim.SGD(net.parameters(), lr=0.1))
    with pytest.raises(L.InvalidStateError, match="wrong gradients"):
        model(torch.ones(1, 4)).sum().backward()
    optimizer.zero_grad()
    f.backward(model(torch.ones(1, 4)).sum())
    assert net.layer.bias.grad.eq(1024).all()
    norm = f.clip_gradients(model, optimizer, max_norm=100.0)
    assert norm.item() == pytest.approx(10**0.5)
    before = net.layer.bias.detach().clone()
    optimizer.step()
    assert torch.allclose(net.layer.bias, before - 0.1)


def test_gradients_are_clipped_by_value_or_norm():
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    f = fabric()
    optimizer = f.setup_optimizers(torch.optim.SGD([weight], lr=1.0))
    f.backward((weight**2).sum() / 2)
    assert f.clip_gradients(torch.nn.Linear(1, 1), optimizer, max_norm=1.0).item() == 5
    assert torch.allclose(weight.grad, torch.tensor([0.6, 0.8]), atol=1e-5)
    assert f.clip_gradients(torch.nn.Linear(1, 1), optimizer, clip_val=0.7) is None
    assert torch.allclose(weight.grad, torch.tensor([0.6, 0.7]), atol=1e-5)
    weight.grad.fill_(float("nan"))
    with pytest.raises(RuntimeError, match="non-finite"):
        f.clip_gradients(torch.nn.Linear(1, 1), optimizer, max_norm=1.0)


def test_a_loader_forwards_and_moves_and_tells_its_sampler_the_epoch():
    class Sampler(torch.utils.data.SequentialSampler):
        epochs = []

        def set_epoch(self, epoch):
            self.epochs.append(epoch)

    data = torch.arange(6.0)
    inner = DataLoader(data, batch_size=2, sampler=Sampler(data))
    loader = fabric().setup_dataloaders(inner)
    assert loader.batch_size == 2
    assert len(loader) == 3
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]]
    list(loader)
    assert sorted(set(Sampler.epochs)) == [0, 1]
    assert loader.device == torch.device("cpu")
    first, second = fabric().setup_dataloaders(inner, DataLoader([1]), move_to_device=False)
    assert (first.device, second.device) == (None, None)


def test_batches_come_on_the_device():
    f = fabric()
    f.strategy.connect(torch.device("meta"))  # any device that isn't the CPU
    loader = f.setup_dataloaders(DataLoader(TensorDataset(torch.ones(4, 2), torch.ones(4)), batch_size=2))
    assert [[part.device.type for part in batch] for batch in loader] == [["meta", "meta"]] * 2


class Drawn(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        import random

        return random.random()


def test_seed_everything_seeds_workers_too(monkeypatch):
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.delenv(name, raising=False)
    assert L.Fabric.seed_everything(3, verbose=False) == 3
    loader = fabric().setup_dataloaders(DataLoader(Drawn(), num_workers=2))
    assert loader._dataloader.worker_init_fn is not None
    assert len({batch.item() for batch in loader}) == 4


def test_a_lightning_module_knows_its_fabric():
    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)
            self.heard = 0
            self.automatic_optimization = False

        def training_step(self, batch):
            loss = self.layer(batch).sum()
            self.log("loss", loss, prog_bar=True)
            self.log_dict({"twice": 2 * loss})
            self.manual_backward(loss)
            self.optimizers().step()
            return loss

        def on_train_epoch_end(self):
            self.heard += 1

    module, f = Module(), fabric(precision="bf16-mixed")
    model, optimizer = f.setup(module, torch.optim.SGD(module.parameters(), lr=0.1))
    assert module.fabric is f
    loss = model.training_step(torch.ones(1, 2))
    assert loss.dtype is torch.float32
    assert module.layer.weight.grad.eq(1).all()
    assert module.optimizers() is optimizer
    f.finish()
    assert set(RunDirectory.open("lightning_logs/version_0").status().metrics) == {"loss", "twice"}
    f.call("on_train_epoch_end")
    assert module.heard == 1


def test_a_compiled_model_stays_compiled():
    net = Net()
    compiled = torch.compile(net, backend="eager")
    model = fabric().setup(compiled)
    assert model.module is net
    assert model._forward_module is compiled
    assert list(model.state_dict()) == ["layer.weight", "layer.bias"]
    assert torch.equal(model(torch.ones(1, 4)), net.layer(torch.ones(1, 4)))
    outer = torch.compile(fabric().setup(Net()), backend="eager")
    assert is_wrapped(outer)
    assert torch.equal(outer(torch.ones(1, 4)), outer.layer(torch.ones(1, 4)))


def test_hooks_on_a_coat_and_on_its_module_are_called_once_each():
    net, heard = Net(), []
    model = fabric().setup(net)
    net.register_forward_hook(lambda *_: heard.append("module"))
    model.register_forward_hook(lambda *_: heard.append("coat"))
    model.register_forward_pre_hook(lambda *_: heard.append("before"))
    model(torch.ones(1, 4))
    assert heard == ["before", "module", "coat"]
    fresh = fabric().setup(Net())
    fresh.register_full_backward_hook(lambda *_: heard.append("backward"))
    fresh(torch.ones(1, 4, requires_grad=True)).sum().backward()
    assert heard[-1] == "backward"
