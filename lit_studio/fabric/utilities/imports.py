"""Lightning's `lightning.fabric.utilities.imports`: what is installed, and in which versions.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.availability import (
    _IS_INTERACTIVE,
    _IS_WINDOWS,
    _NUMPY_AVAILABLE,
    _PYTHON_GREATER_EQUAL_3_10_0,
    _TORCH_EQUAL_2_4_0,
    _TORCH_GREATER_EQUAL_2_2,
    _TORCH_GREATER_EQUAL_2_3,
    _TORCH_GREATER_EQUAL_2_4,
    _TORCH_GREATER_EQUAL_2_4_1,
    _TORCH_GREATER_EQUAL_2_5,
    _TORCH_GREATER_EQUAL_2_6,
    _TORCH_LESS_EQUAL_2_6,
    _TORCHMETRICS_GREATER_EQUAL_1_0_0,
)

__all__ = [
    "_IS_INTERACTIVE",
    "_IS_WINDOWS",
    "_NUMPY_AVAILABLE",
    "_PYTHON_GREATER_EQUAL_3_10_0",
    "_TORCHMETRICS_GREATER_EQUAL_1_0_0",
    "_TORCH_EQUAL_2_4_0",
    "_TORCH_GREATER_EQUAL_2_2",
    "_TORCH_GREATER_EQUAL_2_3",
    "_TORCH_GREATER_EQUAL_2_4",
    "_TORCH_GREATER_EQUAL_2_4_1",
    "_TORCH_GREATER_EQUAL_2_5",
    "_TORCH_GREATER_EQUAL_2_6",
    "_TORCH_LESS_EQUAL_2_6",
]
