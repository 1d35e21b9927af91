"""Lightning's `lightning.pytorch.core.datamodule`: the datamodule.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.datamodule import LightningDataModule

__all__ = [
    "LightningDataModule",
]
