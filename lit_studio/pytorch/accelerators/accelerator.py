"""Lightning's `lightning.pytorch.accelerators.accelerator`: a kind of device.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.accelerators import Accelerator

__all__ = [
    "Accelerator",
]
