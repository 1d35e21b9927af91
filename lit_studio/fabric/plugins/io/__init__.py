"""Lightning's `lightning.fabric.plugins.io`: checkpoint plugins.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.trainer.checkpoint_io import CheckpointIO, TorchCheckpointIO

__all__ = [
    "CheckpointIO",
    "TorchCheckpointIO",
]

__getattr__ = submodules(__name__, __path__)
