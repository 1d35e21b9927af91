"""Lightning's `lightning.fabric.plugins`: numerics, environments and checkpoint plugins.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.trainer.checkpoint_io import CheckpointIO, TorchCheckpointIO
from lit_studio.trainer.environments import ClusterEnvironment
from lit_studio.trainer.precision import (
    BitsandbytesPrecision,
    DoublePrecision,
    HalfPrecision,
    MixedPrecision,
    Precision,
    TransformerEnginePrecision,
)

__all__ = [
    "BitsandbytesPrecision",
    "CheckpointIO",
    "ClusterEnvironment",
    "DoublePrecision",
    "HalfPrecision",
    "MixedPrecision",
    "Precision",
    "TorchCheckpointIO",
    "TransformerEnginePrecision",
]

__getattr__ = submodules(__name__, __path__)
