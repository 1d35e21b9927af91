"""Lightning's `lightning.pytorch.accelerators`: kinds of device.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.trainer.accelerators import (
    Accelerator,
    CPUAccelerator,
    CUDAAccelerator,
    MPSAccelerator,
    find_usable_cuda_devices,
)

__all__ = [
    "Accelerator",
    "CPUAccelerator",
    "CUDAAccelerator",
    "MPSAccelerator",
    "find_usable_cuda_devices",
]

__getattr__ = submodules(__name__, __path__)
