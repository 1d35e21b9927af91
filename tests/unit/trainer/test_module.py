"""Modules and datamodules by themselves: hyper-parameters, loading, where they are, what they copy."""

from __future__ import annotations

import copy
import pickle
from argparse import Namespace
from dataclasses import dataclass

import pytest
import torch
import yaml

import lit_studio as L
from lit_studio.trainer.hyperparameters import AttributeDict
from lit_studio.trainer.optimization import grad_norm
from tests.unit.trainer.models import Regression, equal, loader, trainer, weights


class Base(L.LightningModule):
    def __init__(self, width: int = 4, *, rate: float = 0.1, **kwargs):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, width)


class Child(Base):
    def __init__(self, depth, width=8, backbone=None, **kwargs):
        super().__init__(width=width, **kwargs)
        self.save_hyperparameters(ignore=["backbone"])
        self.depth = depth


@pytest.mark.filterwarnings("ignore:.*is an instance of `nn.Module`")
def test_arguments_are_kept_a_subclasses_first():
    assert Base(rate=0.5, extra="x").hparams == {"width": 4, "rate": 0.5, "extra": "x"}
    module = Child(3, backbone=torch.nn.Linear(1, 1), rate=0.2)
    assert module.hparams == {"depth": 3, "width": 8, "rate": 0.2}
    assert module.hparams.depth == 3
    module.hparams.depth = 4
    assert module.hparams_initial.depth == 3
    with pytest.raises(AttributeError):
        _ = module.hparams.missing
    module.remove_ignored_hparams(["rate"])
    assert set(module.hparams) == {"depth", "width"}


def test_some_arguments_a_dict_or_a_namespace_can_be_kept():
    class Some(L.LightningModule):
        def __init__(self, a, b, conf=None):
            super().__init__()
            self.save_hyperparameters(*(["a"] if conf is None else [conf]))

    assert Some(1, 2).hparams == {"a": 1}
    assert Some(1, 2, {"x": 3}).hparams == {"x": 3}
    assert Some(1, 2, Namespace(y=4)).hparams == {"y": 4}
    with pytest.raises(TypeError, match="Unsupported config type"):
        Some(1, 2, 7)


def test_a_dataclass_and_a_datamodule_keep_theirs():
    @dataclass
    class Data(L.LightningDataModule):
        batch: int = 3

        def __post_init__(self):
            super().__init__()
            self.save_hyperparameters()

    assert Data(batch=5).hparams == {"batch": 5}
    assert Data.CHECKPOINT_HYPER_PARAMS_KEY == "datamodule_hyper_parameters"


def test_outside_of_init_nothing_can_be_kept():
    module = Regression()
    with pytest.raises(RuntimeError, match="__init__"):
        module.save_hyperparameters()


def test_hparams_print_one_a_line():
    assert repr(AttributeDict(b=1, long=2)) == '"b":    1\n"long": 2'


class Trained(Regression):
    def __init__(self, lr: float = 0.05, width: int = 4):
        super().__init__(lr)
        self.save_hyperparameters()


@pytest.fixture
def checkpoint(tmp_path):
    fit = trainer(tmp_path)
    fit.fit(module := Trained(lr=0.02), loader())
    fit.save_checkpoint(tmp_path / "it.ckpt")
    return tmp_path / "it.ckpt", module


def test_loading_makes_the_module_anew(checkpoint):
    path, module = checkpoint
    loaded = Trained.load_from_checkpoint(path)
    assert equal(weights(loaded), weights(module))
    assert loaded.hparams == {"lr": 0.02, "width": 4}
    assert Trained.load_from_checkpoint(path, lr=0.5, map_location="cpu", weights_only=True).hparams.lr == 0.5
    with path.open("rb") as file:
        assert Trained.load_from_checkpoint(file).lr == 0.02
    with pytest.raises(L.CheckpointNotFoundError):
        Trained.load_from_checkpoint(path.with_name("gone.ckpt"))


@pytest.mark.filterwarnings("ignore:.*is an instance of `nn.Module`")
def test_loading_takes_a_model_and_arguments_that_no_checkpoint_holds(checkpoint):
    class Wrapping(Trained):
        def __init__(self, model, extra, lr=0.1, width=4):
            super().__init__(lr)
            self.model, self.extra = model, extra

    loaded = Wrapping.load_from_checkpoint(checkpoint[0], model=torch.nn.Linear(1, 1), strict=False, extra="e")
    assert (loaded.extra, loaded.lr) == ("e", 0.02)
    with pytest.raises(RuntimeError, match="Missing key"):
        Wrapping.load_from_checkpoint(checkpoint[0], model=torch.nn.Linear(1, 1), extra="e")


def test_hyper_parameters_may_come_from_a_file(checkpoint, tmp_path):
    (file := tmp_path / "hparams.yaml").write_text(yaml.safe_dump({"lr": 0.3}))
    assert Trained.load_from_checkpoint(checkpoint[0], hparams_file=file).lr == 0.3


def test_a_config_object_comes_back_under_its_name(tmp_path):
    class Configured(Regression):
        def __init__(self, conf):
            super().__init__()
            self.save_hyperparameters(conf)
            self.width = self.hparams.width

    fit = trainer(tmp_path)
    fit.fit(Configured({"width": 7}), loader())
    fit.save_checkpoint(tmp_path / "it.ckpt")
    assert Configured.load_from_checkpoint(tmp_path / "it.ckpt").width == 7


def test_a_datamodule_comes_back_from_a_checkpoint(tmp_path):
    class Data(L.LightningDataModule):
        def __init__(self, size=8):
            super().__init__()
            self.save_hyperparameters()
            self.cursor = 0

        def train_dataloader(self):
            return loader(self.hparams.size)

        def state_dict(self):
            return {"cursor": 5}

        def load_state_dict(self, state_dict):
            self.cursor = state_dict["cursor"]

    Data.__qualname__ = "Data"
    fit = trainer(tmp_path)
    fit.fit(Regression(), Data(size=4))
    fit.save_checkpoint(tmp_path / "it.ckpt")
    found = Data.load_from_checkpoint(tmp_path / "it.ckpt")
    assert (found.hparams.size, found.cursor) == (4, 5)


def test_a_detached_module_has_no_trainer_but_answers():
    module = Regression()
    with pytest.raises(RuntimeError, match="not attached to a `Trainer`"):
        _ = module.trainer
    assert (module.current_epoch, module.global_step, module.global_rank, module.loggers) == (0, 0, 0, [])
    assert (module.logger, module.fabric, module.device_mesh, module.on_gpu) == (None, None, None, False)


def test_modules_within_modules_share_the_trainer_and_log():
    class Outer(Regression):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def training_step(self, batch, batch_idx):
            self.inner.tell()
            return self.error(batch)

    class Inner(L.LightningModule):
        def tell(self):
            self.log("inner", 3.0)

    module, fit = Outer(), trainer()
    fit.fit(module, loader())
    assert module.inner.trainer is fit
    assert float(fit.callback_metrics["inner"]) == 3.0


def test_a_copy_leaves_the_trainer_behind():
    module, fit = Regression(), trainer()
    fit.fit(module, loader())
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert twin._trainer is None
        assert equal(weights(twin), weights(module))
    assert module.trainer is fit


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's own tracing
def test_a_compiled_module_trains_compiled():
    traced = []

    def backend(graph, inputs):
        traced.append(graph)
        return graph.forward

    module, fit = Regression(), trainer()
    fit.fit(torch.compile(module, backend=backend), loader())
    assert traced
    assert fit.lightning_module is module
    assert float(fit.callback_metrics["loss"]) >= 0
    assert equal(weights(pickle.loads(pickle.dumps(module))), weights(module))
    seen = len(traced)
    fit.test(torch.compile(module, backend=backend), loader(), verbose=False)
    assert len(traced) > seen


def test_device_and_dtype_follow_the_weights():
    module = Regression()
    assert (module.device.type, module.dtype) == ("cpu", torch.float32)
    module.to("meta").double()
    assert (module.device.type, module.dtype) == ("meta", torch.float64)
    assert L.LightningModule().device.type == "cpu"


def test_freeze_and_unfreeze():
    module = Regression()
    module.freeze()
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
    module.unfreeze()
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_clipping_in_the_module_must_not_contradict_the_trainer():
    class Contradicting(Regression):
        def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None):
            self.clip_gradients(optimizer, 0.3, "norm")

    with pytest.raises(L.MisconfigurationException, match="gradient clipping"):
        trainer(gradient_clip_val=0.1).fit(Contradicting(), loader())


def test_norms_of_gradients():
    module = torch.nn.Linear(2, 1, bias=False)
    module(torch.tensor([3.0, 4.0])).backward()
    norms = grad_norm(module, 2)
    assert {name: float(norm) for name, norm in norms.items()} == {
        "grad_2.0_norm/weight": 5.0,
        "grad_2.0_norm_total": 5.0,
    }
    with pytest.raises(ValueError, match="norm_type"):
        grad_norm(module, 0)


def test_print_prints(capsys):
    Regression().print("hello")
    trainer().print("there")
    assert capsys.readouterr().out == "hello\nthere\n"
