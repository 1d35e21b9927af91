"""Lightning's `lightning.pytorch`: the door for code written against it.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.callbacks import Callback
from lit_studio.pytorch import accelerators, callbacks, core, loggers, plugins, profilers, strategies, utilities
from lit_studio.trainer.datamodule import LightningDataModule
from lit_studio.trainer.display import cli_lightning_logo
from lit_studio.trainer.module import LightningModule
from lit_studio.trainer.resume import LAYOUT as __version__  # code asks whether Lightning is new enough: this one is
from lit_studio.trainer.seed import seed_everything
from lit_studio.trainer.trainer import Trainer

__all__ = [
    "Callback",
    "LightningDataModule",
    "LightningModule",
    "Trainer",
    "__version__",
    "accelerators",
    "callbacks",
    "cli_lightning_logo",
    "core",
    "loggers",
    "plugins",
    "profilers",
    "seed_everything",
    "strategies",
    "utilities",
]

__getattr__ = submodules(__name__, __path__)
