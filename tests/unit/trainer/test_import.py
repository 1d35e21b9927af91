"""``import lit_studio`` is light, and its doors hold what code written against Lightning imports."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import lit_studio as L

LOOK = """
import sys, time
before = time.process_time()
import lit_studio
spent = time.process_time() - before
heavy = {"torch", "numpy", "jupyter_server", "IPython", "ipykernel", "importlib.metadata", "yaml", "rich"}
print(spent, *sorted(heavy & set(sys.modules)))
"""


def test_the_package_is_imported_at_once_and_loads_nothing_heavy():
    runs = [subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True) for _ in range(3)]
    found = [run.stdout.split() for run in runs]
    assert found[0][1:] == []
    assert min(float(seconds) for seconds, *_ in found) < 0.05


def test_every_public_name_is_there_and_an_unknown_one_is_not():
    for name in L.__all__:
        assert getattr(L, name) is not None, name
    assert set(L.__all__) <= set(dir(L))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = L.Nothing


def test_all_errors_of_the_tree_are_public():
    from lit_studio.base import errors

    tree = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert tree <= set(L.__all__)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("pytorch", "Trainer LightningModule LightningDataModule Callback seed_everything callbacks loggers utilities"),
        ("pytorch.callbacks", "ModelCheckpoint EarlyStopping LearningRateMonitor Timer RichProgressBar LambdaCallback"),
        ("pytorch.callbacks.early_stopping", "EarlyStopping"),
        ("pytorch.callbacks.model_checkpoint", "ModelCheckpoint"),
        ("pytorch.callbacks.progress", "TQDMProgressBar"),
        ("pytorch.callbacks.finetuning", "BaseFinetuning BackboneFinetuning"),
        ("pytorch.callbacks.model_summary", "ModelSummary"),
        ("pytorch.callbacks.rich_model_summary", "RichModelSummary"),
        ("pytorch.callbacks.prediction_writer", "BasePredictionWriter"),
        ("pytorch.callbacks.stochastic_weight_avg", "StochasticWeightAveraging"),
        ("pytorch.callbacks.weight_averaging", "WeightAveraging EMAWeightAveraging"),
        ("pytorch.callbacks.device_stats_monitor", "DeviceStatsMonitor"),
        ("pytorch.callbacks.on_exception_checkpoint", "OnExceptionCheckpoint"),
        ("pytorch.loggers", "CSVLogger TensorBoardLogger Logger"),
        ("pytorch.loggers.logger", "rank_zero_experiment DummyLogger"),
        ("pytorch.profilers", "SimpleProfiler PassThroughProfiler"),
        ("pytorch.strategies", "SingleDeviceStrategy"),
        ("pytorch.core.module", "LightningModule"),
        ("pytorch.core.optimizer", "LightningOptimizer"),
        ("pytorch.trainer.states", "TrainerFn RunningStage TrainerStatus"),
        ("pytorch.utilities", "rank_zero_only CombinedLoader grad_norm move_data_to_device AttributeDict"),
        ("pytorch.utilities.exceptions", "MisconfigurationException"),
        ("pytorch.utilities.rank_zero", "rank_zero_only rank_zero_info rank_zero_warn"),
        ("pytorch.utilities.types", "STEP_OUTPUT EVAL_DATALOADERS TRAIN_DATALOADERS OptimizerLRScheduler"),
        ("pytorch.utilities.seed", "isolate_rng"),
        ("fabric.utilities.rank_zero", "rank_zero_only"),
        ("fabric.utilities.seed", "seed_everything"),
    ],
)
def test_names_that_code_imports_from_lightning(module, names):
    door = importlib.import_module(f"lit_studio.{module}")
    for name in names.split():
        assert hasattr(door, name), name
        assert name in door.__all__


def test_the_doors_lead_to_the_same_objects():
    from lit_studio import pytorch
    from lit_studio.pytorch.utilities.exceptions import MisconfigurationException

    assert pytorch.Trainer is L.Trainer
    assert pytorch.callbacks.ModelCheckpoint is L.callbacks.ModelCheckpoint
    assert MisconfigurationException is L.MisconfigurationException


def test_rank_zero_only_runs_on_rank_zero(monkeypatch):
    from lit_studio.pytorch.utilities.rank_zero import rank_zero_only, rank_zero_warn

    monkeypatch.delenv("RANK", raising=False)
    assert rank_zero_only(lambda: 1)() == 1
    monkeypatch.setenv("RANK", "1")
    assert rank_zero_only(lambda: 1)() is None
    rank_zero_warn("not here")
    monkeypatch.setenv("RANK", "0")
    with pytest.warns(UserWarning, match="here"):
        rank_zero_warn("here")
