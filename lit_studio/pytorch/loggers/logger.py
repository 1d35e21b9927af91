"""Lightning's `lightning.pytorch.loggers.logger`: the loggers' base.

It must not hold anything of its own: these are other names for what lies in `lit_studio.loggers`.
"""

from lit_studio.loggers.base import DummyExperiment, DummyLogger, Logger, rank_zero_experiment

__all__ = [
    "DummyExperiment",
    "DummyLogger",
    "Logger",
    "rank_zero_experiment",
]
