"""Lightning's `lightning.pytorch.strategies`: strategies.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.trainer.strategies import DDPStrategy, ParallelStrategy, SingleDeviceStrategy, Strategy

__all__ = [
    "DDPStrategy",
    "ParallelStrategy",
    "SingleDeviceStrategy",
    "Strategy",
]

__getattr__ = submodules(__name__, __path__)
