"""Lightning's `lightning.pytorch.plugins.layer_sync`: layers that see all ranks' batches.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.layer_sync import LayerSync, TorchSyncBatchNorm

__all__ = [
    "LayerSync",
    "TorchSyncBatchNorm",
]
