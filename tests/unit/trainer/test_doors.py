"""The small functions behind the doors, by what they do: each against a case whose answer is known."""

import argparse
import enum
import importlib.machinery
import inspect
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

import lit_studio as L
from lit_studio.fabric import loggers as fabric_loggers
from lit_studio.pytorch import demos
from lit_studio.pytorch.accelerators import CPUAccelerator, CUDAAccelerator, find_usable_cuda_devices
from lit_studio.pytorch.core import saving
from lit_studio.pytorch.demos import boring_classes, transformer
from lit_studio.pytorch.utilities import (
    GradClipAlgorithmType,
    LightningEnum,
    data,
    find_shared_parameters,
    is_picklable,
    model_summary,
    parsing,
    rank_zero,
    set_shared_parameters,
)
from lit_studio.pytorch.utilities.compile import from_compiled, to_uncompiled
from lit_studio.pytorch.utilities.model_helpers import is_overridden
from lit_studio.pytorch.utilities.signature_utils import is_param_in_hook_signature
from lit_studio.trainer.conversion import convert_tensors_to_scalars, convert_to_tensors
from lit_studio.trainer.filesystems import get_filesystem, is_shared_filesystem
from lit_studio.trainer.strategies import SingleDeviceStrategy
from tests.unit.trainer.models import Regression, Validated, loader, trainer


class Colour(enum.Enum):
    RED = 1


# Files of hyper-parameters ------------------------------------------------------------------------------------------


def test_yaml_goes_there_and_back(tmp_path):
    path = tmp_path / "hparams.yaml"
    saving.save_hparams_to_yaml(path, argparse.Namespace(lr=0.1, names=["a"], colour=Colour.RED))
    assert saving.load_hparams_from_yaml(path) == {"lr": 0.1, "names": ["a"], "colour": "RED"}


def test_yaml_leaves_out_what_it_cannot_hold(tmp_path):
    path = tmp_path / "hparams.yaml"
    with pytest.warns(UserWarning, match="Skipping 'model'"):
        saving.save_hparams_to_yaml(path, {"model": torch.nn.Linear(1, 1), "lr": 1})
    assert saving.load_hparams_from_yaml(path) == {"lr": 1}


def test_csv_goes_there_and_back(tmp_path):
    path = tmp_path / "tags.csv"
    saving.save_hparams_to_tags_csv(path, {"lr": 0.1, "name": "net, small", "on": True})
    assert saving.load_hparams_from_tags_csv(path) == {"lr": 0.1, "name": "net, small", "on": True}


def test_a_missing_file_is_empty_and_a_missing_folder_an_error(tmp_path):
    with pytest.warns(RuntimeWarning, match="Missing Tags"):
        assert saving.load_hparams_from_yaml(tmp_path / "no.yaml") == {}
    with pytest.raises(RuntimeError, match="Missing folder"):
        saving.save_hparams_to_yaml(tmp_path / "no" / "hparams.yaml", {})
    with pytest.raises(TypeError, match="hparams must be dictionary"):
        saving.save_hparams_to_yaml(tmp_path / "hparams.yaml", [1])


def test_updates_go_into_nested_dicts():
    hparams = {"a": {"b": 1, "c": 2}, "d": 3}
    saving.update_hparams(hparams, {"a": {"b": 5}, "e": {"f": 6}})
    assert hparams == {"a": {"b": 5, "c": 2}, "d": 3, "e": {"f": 6}}


# What objects were made with ----------------------------------------------------------------------------------------


def test_arguments_of_every_class_on_the_way():
    found = []

    class Base:
        def __init__(self, a, *args):
            __class__  # noqa: B018 - makes it visible in the frame
            found.extend(parsing.collect_init_args(inspect.currentframe(), []))

    class Child(Base):
        def __init__(self, b, c=3, **more):
            super().__init__(b * 2)

    Child(4, d=5)
    assert found == [{"a": 8}, {"b": 4, "c": 3, "d": 5}]
    assert parsing.parse_class_init_keys(Child) == ("self", None, "more")
    assert parsing.parse_class_init_keys(Base) == ("self", "args", None)


def test_hyperparameters_kept_from_outside():
    class Module(L.LightningModule):
        def __init__(self, width, depth, secret):
            super().__init__()
            parsing.save_hyperparameters(self, ignore="secret")

    assert dict(Module(1, 2, 3).hparams) == {"width": 1, "depth": 2}


def test_what_cannot_be_pickled_goes():
    hparams = {"a": 1, "f": lambda: None}
    assert is_picklable(hparams["a"])
    with pytest.warns(UserWarning, match="'f' removed from hparams"):
        parsing.clean_namespace(hparams)
    assert hparams == {"a": 1}


def test_hooks_are_asked_for():
    assert is_overridden("validation_step", Validated())
    assert not is_overridden("validation_step", Regression())
    assert not is_overridden("validation_step", None)
    with pytest.raises(ValueError, match="Expected a parent"):
        is_overridden("forward", torch.nn.Linear(1, 1))
    assert is_param_in_hook_signature(lambda batch, dataloader_idx: None, "dataloader_idx")
    assert is_param_in_hook_signature(lambda *args: None, "dataloader_idx")
    assert not is_param_in_hook_signature(lambda *args: None, "dataloader_idx", explicit=True)
    assert is_param_in_hook_signature(lambda a, b: None, "batch_idx", min_args=2)
    assert not is_param_in_hook_signature(lambda a: None, "batch_idx", min_args=2)


# Loaders and collections --------------------------------------------------------------------------------------------


class Endless(IterableDataset):
    def __iter__(self):
        return iter(range(3))


class Guessed(Endless):
    def __len__(self):
        return 3


def test_lengths_of_loaders():
    assert data.sized_len(loader(8, 2)) == 4
    assert data.sized_len(DataLoader(Endless())) is None
    assert data.has_len(loader())
    assert not data.has_len(DataLoader(Endless()))
    assert data.has_iterable_dataset(DataLoader(Endless()))
    with pytest.warns(UserWarning, match="`__len__` defined"):
        assert data.has_len(DataLoader(Guessed()))
    with pytest.warns(UserWarning, match="returned 0 length"):
        data.has_len([])
    strategy = SingleDeviceStrategy()
    strategy.connect(torch.device("cpu"))
    assert data.has_len_all_ranks(loader(), strategy)


def test_a_rank_without_batches_is_an_error_while_others_have_some():
    class Others(SingleDeviceStrategy):
        def reduce(self, tensor, group=None, reduce_op="mean"):
            return tensor + 4

    strategy = Others()
    strategy.connect(torch.device("cpu"))
    with pytest.raises(RuntimeError, match="within local rank has zero length"):
        data.has_len_all_ranks([], strategy)
    with pytest.warns(UserWarning, match="zero length"):
        assert data.has_len_all_ranks([], strategy, allow_zero_length_dataloader_with_multiple_devices=True)


def test_workers_are_shared_among_ranks():
    assert data.suggested_max_num_workers(1) >= data.suggested_max_num_workers(2) >= 1
    with pytest.raises(ValueError, match="local_world_size"):
        data.suggested_max_num_workers(0)


def test_numbers_become_tensors_and_back():
    found = convert_to_tensors({"a": 1, "b": [2.5, True], "c": np.arange(2)}, "cpu")
    assert found["a"].dtype == torch.int32
    assert found["b"][0] == 2.5
    assert found["b"][1].dtype == torch.uint8
    assert found["c"].tolist() == [0, 1]
    assert convert_tensors_to_scalars({"a": torch.tensor(3), "b": [torch.tensor([0.5])]}) == {"a": 3, "b": [0.5]}
    with pytest.raises(ValueError, match="single element"):
        convert_tensors_to_scalars(torch.zeros(2))


def test_file_systems(tmp_path):
    assert get_filesystem(tmp_path).exists(str(tmp_path))
    assert type(get_filesystem("memory://x")).__name__ == "MemoryFileSystem"
    assert is_shared_filesystem(SingleDeviceStrategy(), tmp_path)


def test_a_file_that_no_other_rank_sees(tmp_path):
    class Two(SingleDeviceStrategy):
        """Rank 0 of two, the other of which sees only what is there before."""

        world_size, answers = 2, iter([True, True, False])

        def reduce_boolean_decision(self, decision, all=True):
            return decision and next(self.answers)

    assert not is_shared_filesystem(Two(), tmp_path, timeout=0)
    assert list(tmp_path.iterdir()) == []


# Devices, loggers, summaries ----------------------------------------------------------------------------------------


def test_devices_by_their_kind():
    assert CPUAccelerator.parse_devices("2") == [0, 1]
    assert CPUAccelerator.get_parallel_devices([0, 1]) == [torch.device("cpu")] * 2
    assert CUDAAccelerator.get_parallel_devices(2) == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert CPUAccelerator().get_device_stats("cpu").keys() == {"cpu_percent", "cpu_vm_percent", "cpu_swap_percent"}


def test_usable_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)

    def place(data, device):
        if device.index == 1:
            raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable")

    monkeypatch.setattr(torch, "tensor", place)
    assert find_usable_cuda_devices() == [0, 2]
    assert find_usable_cuda_devices(1) == [0]
    with pytest.raises(RuntimeError, match="usable"):
        find_usable_cuda_devices(3)
    with pytest.raises(ValueError, match="more CUDA devices"):
        find_usable_cuda_devices(4)


def test_fabrics_loggers_call_their_folder_root_dir(tmp_path):
    logger = fabric_loggers.CSVLogger(root_dir=tmp_path, name="experiment", version=3)
    logger.log_metrics({"loss": 1.0}, step=0)
    logger.save()
    assert (tmp_path / "experiment" / "version_3" / "metrics.csv").read_text().split() == ["step,loss", "0,1.0"]
    assert logger.root_dir == str(tmp_path / "experiment")
    assert fabric_loggers.TensorBoardLogger(root_dir=tmp_path, sub_dir="a").log_dir.endswith("version_0/a")


def test_words_of_a_summary():
    assert model_summary.get_human_readable_count(1234).strip() == "1.2 K"
    assert model_summary.get_formatted_model_size(1234.5) == "1,234.500"
    assert model_summary.parse_batch_shape([torch.zeros(2, 3), "text"]) == [[2, 3], "?"]
    summary = model_summary.summarize(Regression())
    assert [name for name, _ in summary.named_modules] == list(summary.summarize()) == ["layer"]
    assert summary.training_modes == [True]


# Export ---------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("method", ["script", "trace"])
def test_a_trained_module_becomes_torchscript(tmp_path, method):
    class Module(Regression):
        def __init__(self):
            super().__init__()
            self.example_input_array = torch.ones(1, 4)

    module = Module()
    one = trainer(tmp_path)
    one.fit(module, loader())
    path = tmp_path / "module.pt"
    compiled = module.to_torchscript(path, method=method)
    x = torch.randn(3, 4)
    assert torch.equal(compiled(x), module(x))
    assert torch.equal(torch.jit.load(path)(x), module(x))
    assert module.trainer is one


def test_tensorrt_is_asked_for_by_name():
    with pytest.raises(L.MissingDependencyError, match=r"lit-studio\[tensorrt\]"):
        Regression().to_tensorrt(input_sample=torch.ones(1, 4))


def test_tensorrt_gets_the_module_in_evaluation_mode(monkeypatch, tmp_path):
    calls = []
    stand_in = types.ModuleType("torch_tensorrt")
    stand_in.__spec__ = importlib.machinery.ModuleSpec("torch_tensorrt", None)
    stand_in.compile = lambda module, **kwargs: calls.append((module.training, kwargs)) or module
    stand_in.save = lambda compiled, path, **kwargs: calls.append((path, kwargs["output_format"]))
    monkeypatch.setitem(sys.modules, "torch_tensorrt", stand_in)
    module = Regression()
    assert module.to_tensorrt(tmp_path / "module.ep", torch.ones(1, 4), ir="dynamo", default_device="cpu") is module
    (training, given), saved = calls
    assert (training, given["ir"], len(given["inputs"])) == (False, "dynamo", 1)
    assert saved == (str(tmp_path / "module.ep"), "exported_program")
    assert module.training


# Enumerations, parameters, compiled modules, warnings -----------------------------------------------------------------


def test_enumerations_do_not_mind_case():
    class Kind(LightningEnum):
        A_B = "a-b"

    assert Kind.A_B == "A-B"
    assert Kind.from_str("a_b") is Kind.A_B
    assert Kind.from_str("A-B", source="value") is Kind.A_B
    assert {Kind.A_B: 1}[Kind("a-b")] == 1
    with pytest.raises(ValueError, match="Invalid match"):
        Kind.from_str("c", source="any")
    with pytest.warns(UserWarning, match="Invalid string"):
        assert Kind.try_from_str("c") is None
    assert GradClipAlgorithmType.supported_type("norm")
    assert not GradClipAlgorithmType.supported_type("both")


def test_shared_parameters_are_found_and_shared_again():
    module = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2), "b": torch.nn.Linear(2, 2)})
    module["b"].weight = module["a"].weight
    assert find_shared_parameters(module) == [["a.weight", "b.weight"]]
    other = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2), "b": torch.nn.Linear(2, 2)})
    set_shared_parameters(other, [["a.weight", "b.weight"]])
    assert other["a"].weight is other["b"].weight


def test_compiled_and_uncompiled():
    module = Regression()
    compiled = torch.compile(module, backend="eager")
    assert from_compiled(compiled) is module
    assert "training_step" in module.__dict__
    assert to_uncompiled(module) is module
    assert "training_step" not in module.__dict__
    with pytest.raises(ValueError, match="non-compiled"):
        to_uncompiled(module)
    with pytest.raises(ValueError, match="OptimizedModule"):
        from_compiled(module)


def test_a_thing_is_said_once(caplog):
    cache = rank_zero.WarningCache()
    with pytest.warns(UserWarning, match="once"):
        cache.warn("once")
    cache.warn("once")
    with pytest.warns(rank_zero.LightningDeprecationWarning):
        rank_zero.rank_zero_deprecation("gone")
    assert rank_zero.rank_prefixed_message("text", 3) == "[rank: 3] text"


def test_possible_mistakes_can_be_silenced():
    from lit_studio.fabric.utilities.warnings import PossibleUserWarning, disable_possible_user_warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        disable_possible_user_warnings()
        warnings.warn("perhaps", PossibleUserWarning, stacklevel=1)


def test_the_rank_can_be_set():
    @rank_zero.rank_zero_only
    def answer():
        return 42

    assert (rank_zero.rank_zero_only.rank, answer()) == (0, 42)
    rank_zero.rank_zero_only.rank = 1
    try:
        assert answer() is None
    finally:
        rank_zero.rank_zero_only.rank = None


# Demos ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [boring_classes.BoringModel, boring_classes.ManualOptimBoringModel])
def test_boring_models_train(tmp_path, model):
    one = trainer(tmp_path, limit_train_batches=3, limit_val_batches=2)
    module = model()
    one.fit(module)
    assert one.global_step == 3
    assert one.predict(module, boring_classes.BoringDataModule())[0].shape == (1, 2)
    one.test(module, verbose=False)


@pytest.mark.parametrize(
    ("module", "batches"),
    [(boring_classes.BoringDataModule, [64]), (boring_classes.BoringDataModuleNoLen, [float("inf")])],
)
def test_boring_datamodules(tmp_path, module, batches):
    one = trainer(tmp_path, max_steps=2)
    one.fit(boring_classes.BoringModel(), datamodule=module())
    assert one.num_val_batches == batches
    assert one.global_step == 2


def test_datamodule_with_two_loaders():
    module = boring_classes.IterableBoringDataModule()
    module.setup("fit")
    assert [len(list(one)) for one in (*module.train_dataloader(), *module.val_dataloader())] == [16, 16, 32, 32]


def test_random_datasets():
    item = boring_classes.RandomDictDataset(3, 2)[1]
    assert torch.equal(item["b"], item["a"] + 2)
    assert len(boring_classes.RandomIterableDatasetWithLen(3, 5)) == 5
    assert boring_classes.Net()(torch.zeros(2, 1, 28, 28)).exp().sum(1).allclose(torch.ones(2))


@pytest.mark.parametrize("model", [demos.LightningTransformer, demos.LightningLSTM])
def test_language_models_learn(tmp_path, model):
    torch.manual_seed(0)
    ids = torch.arange(400) % 7
    pairs = [(ids[i : i + 10], ids[i + 1 : i + 11]) for i in range(0, 380, 10)]
    batches = DataLoader(pairs, batch_sampler=demos.SequenceSampler(pairs, 4))
    module = model(vocab_size=7)
    one = trainer(tmp_path, max_epochs=2)
    one.fit(module, batches)
    assert one.global_step == 2 * (len(pairs) // 4)
    assert all(torch.isfinite(p).all() for p in module.parameters())


def test_places_differ_and_the_future_is_hidden():
    places = transformer.PositionalEncoding(8, dropout=0.0)(torch.zeros(1, 5, 8))
    assert len({tuple(row.tolist()) for row in places[0]}) == 5
    mask = transformer.Transformer(7, ninp=8).generate_square_subsequent_mask(3)
    assert torch.isinf(mask).tolist() == [[False, True, True], [False, False, True], [False, False, False]]


# Where a fit stands, under the names of Lightning ------------------------------------------------------------------


def test_progress_under_the_loops_names(tmp_path):
    seen = []

    class Looks(L.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            loop = trainer.fit_loop
            batches = loop.epoch_loop.batch_progress
            seen.append(
                (
                    loop.epoch_progress.current.ready,
                    loop.epoch_progress.current.completed,
                    batches.current.ready,
                    batches.total.processed,
                    batches.current.completed,
                    batches.is_last_batch,
                )
            )

    one = trainer(tmp_path, max_epochs=2, callbacks=Looks())
    one.fit(Validated(), loader(8, 4), loader(4, 2))
    assert seen == [(1, 0, 1, 1, 0, False), (1, 0, 2, 2, 1, True), (2, 1, 1, 3, 0, False), (2, 1, 2, 4, 1, True)]
    assert one.fit_loop.done
    assert one.fit_loop.epoch_loop.val_loop is one.validate_loop
    assert one.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer_steps == 4
    assert one.fit_loop.epoch_loop.manual_optimization.optim_step_progress.total.completed == 4


def test_progress_can_be_set_and_loaded(tmp_path):
    one = trainer(tmp_path, max_epochs=3)
    one.fit_loop.epoch_progress.current.completed = 2
    assert one.current_epoch == 2
    one.fit_loop.epoch_progress.current.ready = 2
    one.fit_loop.epoch_loop._batches_that_stepped = 7
    other = trainer(tmp_path)
    other.fit_loop.load_state_dict(one.fit_loop.state_dict())
    assert (other.current_epoch, other.fit_loop.epoch_progress.current.ready) == (2, 2)
    with pytest.raises(AttributeError):
        one.fit_loop.epoch_progress.current.nothing = 1


def test_modules_of_the_doors_are_attributes_of_their_packages():
    code = (
        "import lit_studio as L, lit_studio.pytorch as pl\n"
        "pl.callbacks.model_checkpoint.ModelCheckpoint, pl.tuner.Tuner, pl.trainer.states.TrainerFn\n"
        "pl.loggers.tensorboard.TensorBoardLogger, pl.cli.LightningCLI, L.pytorch.core.hooks\n"
        "L.fabric.utilities.types, L.fabric.strategies\n"
        "try: pl.nothing\n"
        "except AttributeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "module 'lit_studio.pytorch' has no attribute 'nothing'\n"
