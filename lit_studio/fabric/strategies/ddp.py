"""Lightning's `lightning.fabric.strategies.ddp`: a strategy.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.strategies import DDPStrategy

__all__ = [
    "DDPStrategy",
]
