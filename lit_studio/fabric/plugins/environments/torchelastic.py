"""Lightning's `lightning.fabric.plugins.environments.torchelastic`: who started the ranks.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.environments import TorchElasticEnvironment

__all__ = [
    "TorchElasticEnvironment",
]
