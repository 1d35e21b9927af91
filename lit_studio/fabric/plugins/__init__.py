"""Lightning's `lightning.fabric.plugins`: numerics, environments and checkpoint plugins.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.environments import ClusterEnvironment
from lit_studio.trainer.plugins import CheckpointIO
from lit_studio.trainer.precision import MixedPrecision, Precision

__all__ = [
    "CheckpointIO",
    "ClusterEnvironment",
    "MixedPrecision",
    "Precision",
]
