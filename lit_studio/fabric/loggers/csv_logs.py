"""Lightning's `lightning.fabric.loggers.csv_logs`.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.loggers.csv_logs import CSVLogger

__all__ = [
    "CSVLogger",
]
