"""Which strategy a name means, and the parts of strategies that need no second process."""

from __future__ import annotations

import copy
import pickle
import sys
from datetime import timedelta

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

import lit_studio as L
from lit_studio.pytorch.strategies import DDPStrategy, ParallelStrategy, SingleDeviceStrategy, Strategy
from lit_studio.trainer.launch.failures import Failure, RankDiedError, RankRaisedError, first_of
from lit_studio.trainer.launch.pickling import unpicklable_part
from lit_studio.trainer.launch.processes import ProcessLauncher
from lit_studio.trainer.launch.script import ScriptLauncher
from lit_studio.trainer.samplers import Sharing

OFF = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}


@pytest.fixture(autouse=True)
def in_a_script(monkeypatch):
    """No prompt, and nobody has started us as a rank."""
    monkeypatch.delattr(sys, "ps1", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)


@pytest.mark.parametrize(
    ("name", "method", "options"),
    [
        ("ddp", "popen", {}),
        ("ddp_spawn", "spawn", {}),
        ("ddp_fork", "fork", {}),
        ("ddp_notebook", "fork", {}),
        ("ddp_find_unused_parameters_true", "popen", {"find_unused_parameters": True}),
        ("ddp_spawn_find_unused_parameters_false", "spawn", {"find_unused_parameters": False}),
        ("ddp_notebook_find_unused_parameters_true", "fork", {"find_unused_parameters": True}),
    ],
)
def test_the_names_of_the_ddp_family(name, method, options):
    strategy = L.Trainer(strategy=name, devices=2, **OFF).strategy
    assert isinstance(strategy, DDPStrategy)
    assert isinstance(strategy, ParallelStrategy | Strategy)
    assert (strategy.start_method, strategy._options) == (method, options)
    assert isinstance(strategy.launcher, ScriptLauncher if method == "popen" else ProcessLauncher)
    assert (strategy.world_size, strategy.num_processes, strategy.process_group_backend) == (2, 2, "gloo")
    assert strategy.distributed_sampler_kwargs == {"num_replicas": 2, "rank": 0}


def test_auto_is_one_device_or_ddp(monkeypatch):
    assert isinstance(L.Trainer(**OFF).strategy, SingleDeviceStrategy)
    assert L.Trainer(devices=2, **OFF).strategy.start_method == "popen"
    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)
    assert L.Trainer(devices=2, **OFF).strategy.start_method == "fork"


def test_at_a_prompt_ddp_forks_and_spawn_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)
    launcher = L.Trainer(devices=2, strategy="ddp", **OFF).strategy.launcher
    assert isinstance(launcher, ProcessLauncher)
    assert launcher.is_interactive_compatible
    with pytest.raises(L.MisconfigurationException, match="not compatible with an interactive environment"):
        L.Trainer(devices=2, strategy="ddp_spawn", **OFF)


def test_options_of_ddp():
    strategy = DDPStrategy(process_group_backend="mpi", timeout=timedelta(seconds=5), static_graph=True)
    trainer = L.Trainer(strategy=strategy, devices=2, sync_batchnorm=True, **OFF)
    assert trainer.strategy is strategy
    assert (strategy.process_group_backend, strategy.sync_batchnorm) == ("mpi", True)
    with pytest.raises(ValueError, match="start_method"):
        DDPStrategy(start_method="teleport")


def test_a_strategy_may_bring_its_device_and_numerics():
    precision = L.Trainer(precision="64-true", **OFF).precision_plugin
    trainer = L.Trainer(strategy=SingleDeviceStrategy(device="meta", precision_plugin=precision), **OFF)
    assert trainer.strategy.root_device == torch.device("meta")
    assert trainer.precision == "64-true"


@pytest.mark.parametrize("name", ["fsdp", "deepspeed_stage_2", "model_parallel"])
def test_what_is_not_there_yet_says_what_is(name):
    with pytest.raises(L.MisconfigurationException, match=r"not available yet.*ddp_spawn"):
        L.Trainer(strategy=name, **OFF)


@pytest.mark.parametrize("name", ["xla", "single_tpu", "hpu_parallel"])
def test_strategies_of_hardware_that_we_do_not_have_are_unknown(name):
    with pytest.raises(ValueError, match="invalid strategy name"):
        L.Trainer(strategy=name, **OFF)


class Pair:
    """Stands for the strategy of rank 1 of 2."""

    world_size, global_rank = 2, 1


def share(loader, word="train"):
    return Sharing(Pair()).share(loader, word)


def test_a_loader_of_any_class_is_shared_without_making_it_anew():
    class Own(DataLoader):
        def __init__(self, name, **kwargs):
            super().__init__(**kwargs)
            self.name = name

    data = TensorDataset(torch.arange(6))
    loader = Own("mine", dataset=data, batch_size=2, shuffle=True, drop_last=True, generator=torch.Generator())
    found = share(loader)
    assert type(found) is Own
    assert (found.name, found.batch_size, found.drop_last, found.generator) == ("mine", 2, True, loader.generator)
    assert found.sampler is found.batch_sampler.sampler
    assert found.sampler.shuffle
    assert isinstance(loader.sampler, RandomSampler)  # the user's own is as it was
    assert (len(found), len(loader)) == (1, 3)


def test_a_loader_that_is_shared_out_already_is_left_alone():
    found = share(DataLoader(TensorDataset(torch.arange(6))))
    assert share(found) is found


def test_a_batch_sampler_that_hides_its_sampler_is_refused():
    class Hides:
        def __iter__(self):
            return iter([[0], [1]])

    with pytest.raises(TypeError, match="can't inject a \\(distributed\\) sampler"):
        share(DataLoader(TensorDataset(torch.arange(6)), batch_sampler=Hides()))


def test_a_prediction_keeps_the_batches_of_its_sampler():
    batches = BatchSampler(SequentialSampler(range(5)), 2, drop_last=False)
    found = share(DataLoader(TensorDataset(torch.arange(5)), batch_sampler=batches), "predict")
    assert [batch[0].tolist() for batch in found] == [[1, 3]]


def test_a_test_on_shared_data_is_warned_of():
    with pytest.warns(UserWarning, match="it is recommended to use `Trainer\\(devices=1, num_nodes=1\\)`"):
        share(DataLoader(TensorDataset(torch.arange(6))), "test")


class Holder:
    """Has parts."""

    def __init__(self, **parts):
        self.__dict__.update(parts)


def test_the_part_that_cannot_be_pickled_is_found():
    culprit = lambda: None  # noqa: E731
    module = torch.nn.Sequential(torch.nn.Linear(2, 2))
    module[0].activation = culprit
    assert unpicklable_part(Holder(a={"b": [1, culprit]}), "it") == ("it.a['b'][1]", culprit)
    assert unpicklable_part(module, "model") == ("model.0.activation", culprit)
    assert unpicklable_part(Holder(a=1, model=torch.nn.Linear(2, 2)), "it") is None


def test_the_first_failure_is_the_one_that_the_others_follow_from():
    late, early, killed = (
        Failure(0, 1, "late", at=2.0),
        Failure(1, 2, "early", at=1.0),
        Failure(2, 3, exit_code=-9, at=9.0),
    )
    assert first_of([late, early]) is early
    assert first_of([late, early, killed]) is killed


def test_a_ranks_error_crosses_processes_with_its_traceback():
    try:
        raise ValueError("a problem")
    except ValueError as error:
        failure = pickle.loads(pickle.dumps(Failure.of(3, 99, error)))
    raised = failure.to_error()
    assert isinstance(raised, RankRaisedError)
    assert isinstance(raised.__cause__, ValueError)
    assert "Rank 3 failed: ValueError: a problem" in str(raised)
    assert "test_strategies.py" in str(raised)
    died = copy.copy(Failure(1, 7, exit_code=-9).to_error())
    assert isinstance(died, RankDiedError)
    assert (died.rank, died.exit_code, died.signal_name) == (1, -9, "SIGKILL")
    assert "memory" in str(died)
