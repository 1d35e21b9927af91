"""Lightning's `lightning.pytorch.loggers.csv_logs`: the CSV logger.

It must not hold anything of its own: these are other names for what lies in `lit_studio.loggers`.
"""

from lit_studio.loggers.csv_logs import CSVLogger, ExperimentWriter

__all__ = [
    "CSVLogger",
    "ExperimentWriter",
]
