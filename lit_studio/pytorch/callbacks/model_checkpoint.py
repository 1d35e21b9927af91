"""Lightning's `lightning.pytorch.callbacks.model_checkpoint`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.model_checkpoint import ModelCheckpoint

__all__ = [
    "ModelCheckpoint",
]
