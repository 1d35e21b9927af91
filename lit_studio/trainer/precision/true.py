"""Everything in one dtype: weights, inputs and operations.

It must not know the loop, loggers or devices.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import Module

from lit_studio.base.errors import InvalidValueError
from lit_studio.trainer.precision.base import DtypePrecision

DTYPES = {"64-true": torch.float64, "16-true": torch.float16, "bf16-true": torch.bfloat16}


class TruePrecision(DtypePrecision):
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
