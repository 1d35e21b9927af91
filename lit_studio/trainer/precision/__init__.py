"""Numerics: in which dtype weights, inputs and operations are, and the loss scaling that fp16 needs.

It must not know the loop, loggers or devices beyond their type.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch

from lit_studio.base.errors import InvalidValueError
from lit_studio.trainer.precision.base import Precision
from lit_studio.trainer.precision.mixed import MixedPrecision
from lit_studio.trainer.precision.quantized import BitsandbytesPrecision
from lit_studio.trainer.precision.transformer_engine import TransformerEnginePrecision
from lit_studio.trainer.precision.true import DTYPES, DoublePrecision, HalfPrecision, TruePrecision

__all__ = [
    "BitsandbytesPrecision",
    "DoublePrecision",
    "HalfPrecision",
    "MixedPrecision",
    "Precision",
    "TransformerEnginePrecision",
    "TruePrecision",
    "resolve_precision",
]

ALIASES = {
    "64": "64-true",
    "32": "32-true",
    "16": "16-mixed",
    "bf16": "bf16-mixed",
}
ENGINE = {"transformer-engine": torch.bfloat16, "transformer-engine-float16": torch.float16}
NAMES = ("32-true", "16-mixed", "bf16-mixed", *DTYPES, *ENGINE)
PrecisionName = Literal[
    "32-true",
    "16-mixed",
    "bf16-mixed",
    "64-true",
    "16-true",
    "bf16-true",
    "transformer-engine",
    "transformer-engine-float16",
]
PrecisionInput = PrecisionName | Literal["64", "32", "16", "bf16"] | Literal[64, 32, 16] | None


def resolve_precision(precision: Any, device: str) -> Precision:
    """The numerics that ``Trainer(precision=…)`` means.

    Args:
        precision: a name or alias, 16, 32 or 64, None, or a :class:`Precision`.
        device: the device's type; fp16 autocast isn't available on ``cpu``, where bf16 is taken with a warning.

    Raises:
        InvalidValueError: an unknown name.
        MissingDependencyError: a name that needs Transformer Engine, which is not installed.
    """
    if isinstance(precision, Precision):
        return precision
    name = "32-true" if precision is None else ALIASES.get(str(precision), str(precision))
    if name not in NAMES:
        valid = f"one of {', '.join(NAMES)}"
        raise InvalidValueError("Precision is not supported", value=precision, valid=valid)
    if name == "16-mixed" and device == "cpu":
        warnings.warn(
            "precision='16-mixed' is not supported on CPU: autocast runs in bfloat16 instead ('bf16-mixed').",
            stacklevel=2,
        )
        name = "bf16-mixed"
    if name in ENGINE:
        return TransformerEnginePrecision(weights_dtype=ENGINE[name])
    if name in DTYPES:
        return DoublePrecision() if name == "64-true" else HalfPrecision(name)  # type: ignore[arg-type]
    return Precision() if name == "32-true" else MixedPrecision(name, device)  # type: ignore[arg-type]
