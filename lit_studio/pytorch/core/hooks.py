"""Lightning's `lightning.pytorch.core.hooks`: hooks.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.hooks import CheckpointHooks, DataHooks, ModelHooks

__all__ = [
    "CheckpointHooks",
    "DataHooks",
    "ModelHooks",
]
