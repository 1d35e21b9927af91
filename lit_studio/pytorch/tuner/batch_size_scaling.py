"""Lightning's `lightning.pytorch.tuner.batch_size_scaling`, as far as its names are public.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.attributes import lightning_getattr, lightning_setattr
from lit_studio.callbacks.device_memory import garbage_collection_cuda, is_oom_error

__all__ = [
    "garbage_collection_cuda",
    "is_oom_error",
    "lightning_getattr",
    "lightning_setattr",
]
