"""Everything in one dtype: weights, inputs and operations.

It must not know the loop, loggers or devices.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch.nn import Module

from lit_studio.base.errors import InvalidValueError
from lit_studio.trainer.precision.base import Precision, default_dtype, floats_to

DTYPES = {"64-true": torch.float64, "16-true": torch.float16, "bf16-true": torch.bfloat16}


class TruePrecision(Precision):
    """Weights, inputs and operations all in one dtype.

    Args:
        precision: ``"64-true"``, ``"16-true"`` or ``"bf16-true"``.

    Raises:
        InvalidValueError: another name.
    """

    def __init__(self, precision: str):
        if precision not in DTYPES:
            raise InvalidValueError(
                f"{type(self).__name__} doesn't know this precision",
                value=precision,
                valid=f"one of {', '.join(DTYPES)}",
            )
        self.precision = precision
        self.dtype = DTYPES[precision]

    def convert_module(self, module: Module) -> Module:
        """All floating-point weights and buffers in the dtype."""
        return module.to(dtype=self.dtype)

    def convert_input(self, data: Any) -> Any:
        """Floating-point tensors in the dtype; integers and booleans stay."""
        return floats_to(data, self.dtype)

    def convert_output(self, data: Any) -> Any:
        """Floating-point tensors in torch's default dtype."""
        return floats_to(data, torch.get_default_dtype())

    def forward_context(self) -> AbstractContextManager[Any]:
        """New tensors are made in the dtype."""
        return default_dtype(self.dtype)

    def tensor_init_context(self) -> AbstractContextManager[Any]:
        """New tensors are made in the dtype."""
        return default_dtype(self.dtype)


class HalfPrecision(TruePrecision):
    """Everything in a 16-bit dtype.

    Args:
        precision: ``"16-true"`` or ``"bf16-true"``.
    """

    def __init__(self, precision: Literal["bf16-true", "16-true"] = "16-true"):
        super().__init__(precision)


class DoublePrecision(TruePrecision):
    """Everything in fp64."""

    def __init__(self) -> None:
        super().__init__("64-true")
