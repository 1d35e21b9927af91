"""Lightning's `lightning.fabric.utilities.apply_func`: moving and converting collections.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.conversion import convert_tensors_to_scalars, convert_to_tensors, move_data_to_device

__all__ = [
    "convert_tensors_to_scalars",
    "convert_to_tensors",
    "move_data_to_device",
]
