"""Lightning's `lightning.pytorch.core`: modules and datamodules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.trainer.datamodule import LightningDataModule
from lit_studio.trainer.module import LightningModule

__all__ = [
    "LightningDataModule",
    "LightningModule",
]

__getattr__ = submodules(__name__, __path__)
