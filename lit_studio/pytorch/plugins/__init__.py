"""Lightning's `lightning.pytorch.plugins`: numerics, checkpoint plugins, environments.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.trainer.checkpoint_io import AsyncCheckpointIO, CheckpointIO, TorchCheckpointIO
from lit_studio.trainer.environments import ClusterEnvironment
from lit_studio.trainer.layer_sync import LayerSync, TorchSyncBatchNorm
from lit_studio.trainer.precision import (
    BitsandbytesPrecision,
    DoublePrecision,
    HalfPrecision,
    MixedPrecision,
    Precision,
    TransformerEnginePrecision,
)

__all__ = [
    "AsyncCheckpointIO",
    "BitsandbytesPrecision",
    "CheckpointIO",
    "ClusterEnvironment",
    "DoublePrecision",
    "HalfPrecision",
    "LayerSync",
    "MixedPrecision",
    "Precision",
    "TorchCheckpointIO",
    "TorchSyncBatchNorm",
    "TransformerEnginePrecision",
]

__getattr__ = submodules(__name__, __path__)
