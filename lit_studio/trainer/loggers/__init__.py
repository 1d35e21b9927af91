"""Loggers: where a run's metrics and hyper-parameters go besides its own record.

It must not know the loop.
"""

from lit_studio.trainer.loggers.base import DummyLogger, Logger

__all__ = ["DummyLogger", "Logger"]
