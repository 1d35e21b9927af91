"""Lightning's `lightning.pytorch.loggers.wandb`: the W&B logger.

It must not hold anything of its own: these are other names for what lies in `lit_studio.loggers`.
"""

from lit_studio.loggers.wandb import WandbLogger

__all__ = [
    "WandbLogger",
]
