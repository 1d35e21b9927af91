"""Lightning's `lightning.fabric.accelerators.cuda`: a kind of device.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.accelerators import CUDAAccelerator, find_usable_cuda_devices

__all__ = [
    "CUDAAccelerator",
    "find_usable_cuda_devices",
]
