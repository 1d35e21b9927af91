"""Lightning's `lightning.pytorch.plugins.io`: checkpoint plugins.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.trainer.checkpoint_io import AsyncCheckpointIO, CheckpointIO, TorchCheckpointIO

__all__ = [
    "AsyncCheckpointIO",
    "CheckpointIO",
    "TorchCheckpointIO",
]

__getattr__ = submodules(__name__, __path__)
