"""Lightning's `lightning.fabric.loggers.logger`.

It must not hold anything of its own: these are other names for what lies in `lit_studio.loggers`.
"""

from lit_studio.loggers.base import Logger, rank_zero_experiment

__all__ = [
    "Logger",
    "rank_zero_experiment",
]
