"""Lightning's `lightning.fabric.loggers.tensorboard`.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.loggers.tensorboard import TensorBoardLogger

__all__ = [
    "TensorBoardLogger",
]
