"""Lightning's `lightning.pytorch.utilities.imports`: what is installed, and in which versions.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.availability import (
    _OMEGACONF_AVAILABLE,
    _PYTHON_GREATER_EQUAL_3_11_0,
    _RICH_AVAILABLE,
    _TORCH_EQUAL_2_8,
    _TORCH_EQUAL_2_9,
    _TORCH_GREATER_EQUAL_2_6,
    _TORCH_GREATER_EQUAL_2_8,
    _TORCHMETRICS_GREATER_EQUAL_0_8_0,
    _TORCHMETRICS_GREATER_EQUAL_0_9_1,
    _TORCHMETRICS_GREATER_EQUAL_0_11,
    _TORCHMETRICS_GREATER_EQUAL_1_0_0,
    _TORCHVISION_AVAILABLE,
)

__all__ = [
    "_OMEGACONF_AVAILABLE",
    "_PYTHON_GREATER_EQUAL_3_11_0",
    "_RICH_AVAILABLE",
    "_TORCHMETRICS_GREATER_EQUAL_0_8_0",
    "_TORCHMETRICS_GREATER_EQUAL_0_9_1",
    "_TORCHMETRICS_GREATER_EQUAL_0_11",
    "_TORCHMETRICS_GREATER_EQUAL_1_0_0",
    "_TORCHVISION_AVAILABLE",
    "_TORCH_EQUAL_2_8",
    "_TORCH_EQUAL_2_9",
    "_TORCH_GREATER_EQUAL_2_6",
    "_TORCH_GREATER_EQUAL_2_8",
]
