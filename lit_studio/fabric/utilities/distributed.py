"""Lightning's `lightning.fabric.utilities.distributed`: sharing over ranks.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.filesystems import is_shared_filesystem
from lit_studio.trainer.samplers import DistributedSamplerWrapper

__all__ = [
    "DistributedSamplerWrapper",
    "is_shared_filesystem",
]
