"""Lightning's `lightning.fabric.plugins.environments.mpi`: who started the ranks.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.environments import MPIEnvironment

__all__ = [
    "MPIEnvironment",
]
