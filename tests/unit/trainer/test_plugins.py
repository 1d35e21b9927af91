"""Plugins: precision classes, checkpoint plugins, layers that meet over ranks."""

from __future__ import annotations

import importlib.util
import pickle
import sys
import threading
import types
from pathlib import Path

import pytest
import torch
from torch import nn

import lit_studio as L
from lit_studio.base.errors import CheckpointNotFoundError, MissingDependencyError
from lit_studio.callbacks import ModelCheckpoint
from lit_studio.pytorch.plugins import (
    AsyncCheckpointIO,
    BitsandbytesPrecision,
    CheckpointIO,
    DoublePrecision,
    HalfPrecision,
    LayerSync,
    MixedPrecision,
    Precision,
    TorchCheckpointIO,
    TorchSyncBatchNorm,
    TransformerEnginePrecision,
)
from tests.unit.trainer.models import Regression, equal, loader, trainer, weights

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="needs the package bitsandbytes"
)


# Precision ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "kind"),
    [
        (None, Precision),
        ("bf16-mixed", MixedPrecision),
        ("bf16-true", HalfPrecision),
        ("16-true", HalfPrecision),
        (64, DoublePrecision),
    ],
)
def test_names_give_classes(precision, kind):
    made = trainer(precision=precision).precision_plugin
    assert type(made) is kind
    assert trainer(plugins=made).precision == made.precision


def test_classes_refuse_what_they_are_not_for():
    with pytest.raises(ValueError, match="'16-mixed' or 'bf16-mixed'"):
        MixedPrecision("32-true", "cpu")
    with pytest.raises(L.MisconfigurationException, match="does not use a scaler"):
        MixedPrecision("bf16-mixed", "cpu", torch.amp.GradScaler("cpu"))
    with pytest.raises(ValueError, match="one of 64-true"):
        HalfPrecision("32-true")
    parameter = nn.Parameter(torch.ones(1))
    with pytest.raises(L.MisconfigurationException, match="AMP and the LBFGS optimizer are not compatible"):
        MixedPrecision("16-mixed", "cpu").step(torch.optim.LBFGS([parameter]))


class Whispering(Precision):
    """Of a user's: inputs a tenth, everything noted."""

    precision = "whisper"

    def __init__(self):
        self.calls = []

    def convert_input(self, data):
        self.calls.append("input")
        return [part / 10 for part in data]

    def convert_module(self, module):
        self.calls.append("module")
        return module

    def unscale_gradients(self, optimizer):
        self.calls.append("unscale")
        assert list(self.main_params(optimizer))

    def teardown(self):
        self.calls.append("teardown")


def test_a_subclass_is_active_without_saying_so():
    seen = []

    class Looking(Regression):
        def training_step(self, batch, batch_idx):
            seen.append(float(batch[0].abs().max()))
            return self.error(batch)

    plugin, plain = Whispering(), max(float(batch[0].abs().max()) for batch in loader())
    trainer(plugins=[plugin], max_steps=2, gradient_clip_val=1.0).fit(Looking(), loader())
    assert max(seen) <= plain / 10 + 1e-6
    assert plugin.calls[0] == "module"
    assert plugin.calls[-1] == "teardown"
    assert plugin.calls.count("input") >= 2


def test_a_hook_that_would_never_be_called_is_refused():
    class Mine(Precision):
        def optimizer_step(self, optimizer, model, closure, **kwargs):
            return optimizer.step(closure=closure)

    with pytest.raises(L.MisconfigurationException, match=r"`Mine.optimizer_step` would never be called"):
        trainer(plugins=Mine())


@pytest.mark.parametrize("name", ["transformer-engine", "transformer-engine-float16"])
@pytest.mark.skipif(importlib.util.find_spec("transformer_engine") is not None, reason="it is installed")
def test_without_transformer_engine_the_extra_is_named(name):
    with pytest.raises(MissingDependencyError, match=r"lit-studio\[transformer-engine\]"):
        trainer(precision=name)


@pytest.fixture
def engine(monkeypatch):
    """What we use of Transformer Engine's face, which needs a GPU, on torch's layers: fp8 itself isn't tested here."""

    class Linear(nn.Linear):
        pass

    class LayerNorm(nn.LayerNorm):
        pass

    Linear.__module__ = LayerNorm.__module__ = "transformer_engine.pytorch.module"
    recipes = types.SimpleNamespace(
        DelayedScaling=lambda **given: ("recipe", given), Format=types.SimpleNamespace(HYBRID="hybrid")
    )
    entered = []

    def autocast(enabled, recipe):
        entered.append((enabled, recipe))
        return torch.no_grad()

    layers = types.SimpleNamespace(Linear=Linear, LayerNorm=LayerNorm, autocast=autocast, entered=entered)
    for module, content in {
        "transformer_engine": types.SimpleNamespace(__spec__=importlib.util.spec_from_loader("x", None)),
        "transformer_engine.common": types.SimpleNamespace(),
        "transformer_engine.common.recipe": recipes,
        "transformer_engine.pytorch": layers,
    }.items():
        monkeypatch.setitem(sys.modules, module, content)
    return layers


class TestTransformerEngine:
    def test_layers_are_replaced_where_fp8_can_compute_them(self, engine):
        model = nn.Sequential(nn.Linear(8, 16), nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 32, bias=False)))
        weight = model[0].weight.detach().clone()
        plugin = TransformerEnginePrecision(weights_dtype=torch.bfloat16, recipe={"fp8_format": "HYBRID"})
        assert plugin.recipe == ("recipe", {"fp8_format": "hybrid"})
        model = plugin.convert_module(model)
        assert type(model[0]) is type(model[1][1]) is engine.Linear
        assert type(model[1][0]) is engine.LayerNorm
        assert model[1][1].bias is None
        assert torch.equal(model[0].weight, weight.bfloat16())
        again = model[0]
        assert plugin.convert_module(model)[0] is again

    def test_a_layer_of_another_size_stays_with_a_warning(self, engine):
        plugin = TransformerEnginePrecision(weights_dtype=torch.float16)
        assert plugin.precision == "transformer-engine-float16"
        with pytest.warns(UserWarning, match=r"multiple of 8 inputs and of 16 outputs, and it has 8 and 3"):
            assert type(plugin.convert_module(nn.Sequential(nn.Linear(8, 3)))[0]) is nn.Linear

    @pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning")
    def test_steps_run_in_fp8_inside_autocast(self, engine):
        plugin = TransformerEnginePrecision(weights_dtype=torch.bfloat16, replace_layers=True)
        with plugin.forward_context():
            assert torch.ones(1).dtype == torch.bfloat16
            assert torch.is_autocast_enabled("cuda") is torch.cuda.is_available()
        assert engine.entered == [(True, ("recipe", {}))]
        with plugin.module_init_context():
            assert nn.Linear is engine.Linear
            assert nn.Linear(8, 16).weight.dtype == torch.bfloat16
        assert nn.Linear is torch.nn.modules.linear.Linear
        assert plugin.convert_input([torch.ones(1), torch.ones(1, dtype=torch.int64)])[0].dtype == torch.bfloat16


class TestBitsandbytes:
    @pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="it is installed")
    def test_without_the_library_the_extra_is_named(self):
        with pytest.raises(MissingDependencyError, match=r"lit-studio\[bitsandbytes\]"):
            BitsandbytesPrecision("nf4")

    @needs_bitsandbytes
    def test_what_makes_no_sense_is_refused(self):
        with pytest.raises(ValueError, match="one of nf4"):
            BitsandbytesPrecision("int4")
        with pytest.raises(ValueError, match="only works with `dtype="):
            BitsandbytesPrecision("int8", dtype=torch.bfloat16)
        with pytest.raises(RuntimeError, match="left out"):
            BitsandbytesPrecision("nf4", ignore_modules={"a"}).module_init_context()

    @needs_bitsandbytes
    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize(
        ("mode", "dtype", "near"),
        [
            ("nf4", torch.uint8, 0.3), ("nf4-dq", torch.uint8, 0.3), ("fp4", torch.uint8, 0.4),
            ("fp4-dq", torch.uint8, 0.4), ("int8", torch.int8, 0.05), ("int8-training", torch.float16, 0.05),
        ],
    )  # fmt: skip
    def test_weights_are_quantized_on_their_way_to_the_device(self, mode, dtype, near):
        torch.manual_seed(0)
        model, inputs = nn.Sequential(nn.Linear(64, 32), nn.LayerNorm(32), nn.Linear(32, 2)), torch.randn(4, 64)
        expected = model(inputs)
        plugin = BitsandbytesPrecision(mode, ignore_modules={"2"})
        model = plugin.convert_module(model).to("cpu")
        assert model[0].weight.dtype == dtype
        assert type(model[2]) is nn.Linear
        assert model[1].weight.dtype == model[2].weight.dtype == plugin.dtype == torch.float16
        with plugin.forward_context():
            outputs = model(plugin.convert_input(inputs))
        outputs.sum().backward()
        assert (plugin.convert_output(outputs) - expected).abs().max() < near
        assert model[2].weight.grad is not None
        assert (model[0].weight.grad is not None) is (mode == "int8-training")

    @needs_bitsandbytes
    @pytest.mark.filterwarnings("ignore")
    def test_a_fit_trains_what_was_left_out(self):
        class Adapted(Regression):
            def __init__(self):
                super().__init__()
                self.body = nn.Linear(4, 4)
                self.body.requires_grad_(False)

        module = Adapted()
        trainer(plugins=BitsandbytesPrecision("nf4", ignore_modules={"layer"}), max_steps=2).fit(module, loader())
        assert module.body.weight.dtype == torch.uint8
        assert module.layer.weight.dtype == torch.float16


# Checkpoints --------------------------------------------------------------------------------------------------------


def test_torchs_plugin_writes_reads_and_removes(tmp_path):
    plugin, path = TorchCheckpointIO(), tmp_path / "new" / "a.ckpt"
    plugin.save_checkpoint({"a": torch.ones(2)}, path)
    assert torch.equal(plugin.load_checkpoint(path, weights_only=True)["a"], torch.ones(2))
    with pytest.raises(TypeError, match="storage_options"):
        plugin.save_checkpoint({}, path, storage_options={"x": 1})
    plugin.remove_checkpoint(path)
    plugin.remove_checkpoint(path)
    with pytest.raises(CheckpointNotFoundError):
        plugin.load_checkpoint(path)
    with pytest.raises(TypeError, match="abstract"):
        CheckpointIO()


class Gated(TorchCheckpointIO):
    """Waits for a gate, and notes which thread did what."""

    def __init__(self):
        self.gate, self.done, self.fail = threading.Event(), [], False

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        self.gate.wait(30)
        if self.fail:
            raise OSError("disk full")
        super().save_checkpoint(checkpoint, path, storage_options)
        self.done.append(("save", Path(path).name, threading.current_thread() is threading.main_thread()))

    def remove_checkpoint(self, path):
        super().remove_checkpoint(path)
        self.done.append(("remove", Path(path).name, threading.current_thread() is threading.main_thread()))


class TestAsync:
    def test_what_is_saved_is_the_state_at_that_moment(self, tmp_path):
        base = Gated()
        plugin, weight = AsyncCheckpointIO(base), torch.ones(2)
        plugin.save_checkpoint({"nested": {"w": weight}}, tmp_path / "a.ckpt")
        weight.zero_()
        plugin.save_checkpoint({"nested": {"w": weight}}, tmp_path / "b.ckpt")
        assert base.done == []  # the caller went on
        plugin.remove_checkpoint(tmp_path / "a.ckpt")
        base.gate.set()
        assert plugin.load_checkpoint(tmp_path / "b.ckpt")["nested"]["w"].tolist() == [0, 0]
        assert base.done == [("save", "a.ckpt", False), ("save", "b.ckpt", False), ("remove", "a.ckpt", False)]
        plugin.teardown()
        assert pickle.loads(pickle.dumps(AsyncCheckpointIO())).checkpoint_io is not None

    def test_a_failed_write_is_raised_and_keeps_the_older_file(self, tmp_path):
        base = Gated()
        base.gate.set()
        plugin = AsyncCheckpointIO(base)
        plugin.save_checkpoint({}, tmp_path / "old.ckpt")
        plugin._wait()
        base.fail = True
        base.gate.clear()
        plugin.save_checkpoint({}, tmp_path / "new.ckpt")
        plugin.remove_checkpoint(tmp_path / "old.ckpt")
        base.gate.set()
        with pytest.raises(OSError, match="disk full"):
            plugin.teardown()
        assert (tmp_path / "old.ckpt").exists()
        assert plugin._thread is None
        base.fail = False
        plugin.save_checkpoint({}, tmp_path / "next.ckpt")  # and it goes on
        plugin.teardown()

    def test_a_fit_s_checkpoints_are_there_when_it_returns(self, tmp_path):
        base = Gated()
        base.gate.set()
        saves = ModelCheckpoint(tmp_path, save_last=True, save_top_k=1)
        fit = trainer(plugins=AsyncCheckpointIO(base), callbacks=[saves], max_epochs=3, enable_checkpointing=True)
        module = Regression()
        fit.fit(module, loader())
        assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == [Path(saves.best_model_path).name, "last.ckpt"]
        assert not any(main for _, _, main in base.done)
        again = Regression()
        saves = ModelCheckpoint(tmp_path)
        fit = trainer(plugins=AsyncCheckpointIO(), callbacks=[saves], max_epochs=3, enable_checkpointing=True)
        fit.fit(again, loader(), ckpt_path=tmp_path / "last.ckpt")
        assert equal(weights(again), weights(module))

    def test_a_failed_write_ends_the_fit_with_its_error(self, tmp_path):
        base = Gated()
        base.gate.set()
        base.fail = True
        fit = trainer(plugins=AsyncCheckpointIO(base), callbacks=[ModelCheckpoint(tmp_path)], enable_checkpointing=True)
        with pytest.raises(OSError, match="disk full"):
            fit.fit(Regression(), loader())


# Layers -------------------------------------------------------------------------------------------------------------


def test_batch_norms_synchronize_and_come_back_as_they_were():
    model = nn.Sequential(
        nn.Conv1d(1, 3, 1), nn.BatchNorm1d(3, eps=1e-3), nn.Sequential(nn.BatchNorm2d(4, affine=False))
    )
    model[1].running_mean.fill_(7.0)
    weight, plugin = model[1].weight, TorchSyncBatchNorm()
    changed = plugin.apply(model.eval())
    assert isinstance(changed[1], nn.SyncBatchNorm)
    assert changed[1].weight is weight
    back = plugin.revert(changed)
    assert [type(part) for part in (back[1], back[2][0])] == [nn.BatchNorm1d, nn.BatchNorm2d]
    assert (back[1].eps, back[1].training, back[1].running_mean.tolist()) == (1e-3, False, [7.0] * 3)
    assert back[1].weight is weight
    assert back[1](torch.zeros(2, 3, 5)).shape == (2, 3, 5)


def test_what_another_plugin_converted_becomes_a_batch_norm_for_any_shape():
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm2d(3))
    plain = TorchSyncBatchNorm().revert(converted).eval()
    assert not isinstance(plain, nn.SyncBatchNorm)
    assert plain(torch.zeros(2, 3, 4, 4)).shape == plain(torch.zeros(2, 3, 4, 4)).shape
    assert plain(torch.zeros(2, 3)).shape == (2, 3)


def test_plugins_are_told_apart():
    class Mine(LayerSync):
        def apply(self, model):
            return model

        def revert(self, model):
            return model

    made = Mine()
    fit = trainer(plugins=[TorchCheckpointIO(), made, DoublePrecision()])
    assert fit.strategy.layer_sync is made
    assert fit.precision == "64-true"
    assert isinstance(fit.checkpoint_io, TorchCheckpointIO)
    with pytest.raises(L.MisconfigurationException, match="two plugins of one kind"):
        trainer(plugins=[made, TorchSyncBatchNorm()])
    with pytest.raises(TypeError, match="invalid type for a plugin"):
        trainer(plugins=[object()])
