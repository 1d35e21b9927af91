"""Lightning's `lightning.fabric.plugins.io.checkpoint_io`: ways of saving and loading checkpoints.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.checkpoint_io import CheckpointIO

__all__ = [
    "CheckpointIO",
]
