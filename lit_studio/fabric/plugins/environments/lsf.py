"""Lightning's `lightning.fabric.plugins.environments.lsf`: who started the ranks.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.environments import LSFEnvironment

__all__ = [
    "LSFEnvironment",
]
