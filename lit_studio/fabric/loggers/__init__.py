"""Lightning's `lightning.fabric.loggers`.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.loggers import CSVLogger, Logger, TensorBoardLogger

__all__ = [
    "CSVLogger",
    "Logger",
    "TensorBoardLogger",
]
