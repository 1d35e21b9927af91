"""Lightning's `lightning.fabric.plugins.environments.lightning`: who started the ranks.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.environments import LightningEnvironment, find_free_network_port

__all__ = [
    "LightningEnvironment",
    "find_free_network_port",
]
