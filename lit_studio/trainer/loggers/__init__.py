"""Loggers: where a run's metrics and hyper-parameters go besides its own record.

It must not know the loop.
"""

from lit_studio.trainer.loggers.base import DummyLogger, Logger
from lit_studio.trainer.loggers.csv_logs import CSVLogger
from lit_studio.trainer.loggers.tensorboard import TensorBoardLogger

__all__ = ["CSVLogger", "DummyLogger", "Logger", "TensorBoardLogger"]
