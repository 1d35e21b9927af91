"""Loggers: where a run's metrics and hyper-parameters go besides its own record.

It must not know the loop.
"""

from typing import Any

from lit_studio.loggers.base import DummyLogger, Logger
from lit_studio.loggers.csv_logs import CSVLogger
from lit_studio.loggers.mlflow import MLFlowLogger
from lit_studio.loggers.tensorboard import TensorBoardLogger
from lit_studio.loggers.wandb import WandbLogger

__all__ = ["CSVLogger", "DummyLogger", "Logger", "MLFlowLogger", "TensorBoardLogger", "WandbLogger"]

_HOSTED = ("CometLogger", "LitLogger", "NeptuneLogger")


def __getattr__(name: str) -> Any:
    if name in _HOSTED:
        raise AttributeError(
            f"{name} writes to a hosted product, which Lit Studio doesn't talk to; use {', '.join(__all__[3:])} or "
            "CSVLogger, or subclass Logger"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
