"""Lightning's `lightning.pytorch.overrides.distributed`: sharing data over ranks.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.samplers import UnrepeatedDistributedSampler

__all__ = [
    "UnrepeatedDistributedSampler",
]
