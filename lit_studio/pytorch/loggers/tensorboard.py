"""Lightning's `lightning.pytorch.loggers.tensorboard`: the TensorBoard logger.

It must not hold anything of its own: these are other names for what lies in `lit_studio.loggers`.
"""

from lit_studio.loggers.tensorboard import TensorBoardLogger

__all__ = [
    "TensorBoardLogger",
]
