"""Lightning's `lightning.pytorch.strategies.parallel`: a strategy.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.strategies import ParallelStrategy

__all__ = [
    "ParallelStrategy",
]
