"""Lightning's `lightning.fabric.loggers`: loggers.

It must not hold anything of its own: these are other names for what lies in `lit_studio.loggers`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.loggers.base import Logger
from lit_studio.loggers.fabrics import FabricCSVLogger as CSVLogger
from lit_studio.loggers.fabrics import FabricTensorBoardLogger as TensorBoardLogger

__all__ = [
    "CSVLogger",
    "Logger",
    "TensorBoardLogger",
]

__getattr__ = submodules(__name__, __path__)
