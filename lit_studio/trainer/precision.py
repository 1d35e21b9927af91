"""Numerics: in which dtype weights, inputs and operations are, and the loss scaling that fp16 needs.

It must not know the loop, loggers or devices beyond their type.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from lit_studio.base.errors import InvalidValueError
from lit_studio.trainer.batches import map_tensors

ALIASES = {
    "64": "64-true",
    "32": "32-true",
    "16": "16-mixed",
    "bf16": "bf16-mixed",
}
TRUE = {"64-true": torch.float64, "16-true": torch.float16, "bf16-true": torch.bfloat16}
NAMES = ("32-true", "16-mixed", "bf16-mixed", *TRUE)
PrecisionName = Literal["32-true", "16-mixed", "bf16-mixed", "64-true", "16-true", "bf16-true"]
PrecisionInput = PrecisionName | Literal["64", "32", "16", "bf16"] | Literal[64, 32, 16] | None


class Precision:
    """Full precision: nothing is changed. Also the seam for other numerics.

    Attributes:
        precision: the name, for instance ``"32-true"``.
        scaler: the gradient scaler, None without one.
        active: whether :meth:`forward_context` does anything; the loop skips it if not.
    """

    precision = "32-true"
    active = False
    scaler: torch.amp.GradScaler | None = None

    def convert_module(self, module: Module) -> Module:
        """``module`` with its floating-point weights in this precision."""
        return module

    def convert_input(self, data: Any) -> Any:
        """``data`` with its floating-point tensors in this precision."""
        return data

    @property
    def input_dtype(self) -> torch.dtype | None:
        """The dtype that :meth:`convert_input` gives; None if it changes nothing."""
        return None

    def forward_context(self) -> AbstractContextManager[Any]:
        """What steps of the module run in."""
        return nullcontext()

    def inner_context(self) -> AbstractContextManager[Any]:
        """The same, for where one may be entered inside another: a model within a model."""
        return self.forward_context()

    def init_context(self) -> AbstractContextManager[Any]:
        """What a module is built in, so that its weights are in this precision at once."""
        return nullcontext()

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to call ``backward`` on."""
        return loss

    def unscale(self, optimizer: Optimizer) -> None:
        """Bring the gradients back to their true size, before they are looked at or clipped."""

    def step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        """Step ``optimizer``, whose gradients were made under this precision."""
        return optimizer.step() if closure is None else optimizer.step(closure)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint should keep."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` returned."""


class MixedPrecision(Precision):
    """Weights in fp32, operations in fp16 or bf16 where that is safe (autocast); fp16 with loss scaling.

    Args:
        precision: ``"16-mixed"`` or ``"bf16-mixed"``.
        device: the device's type, for instance ``"cuda"``.
        scaler: a scaler of the user's; by default one is made for fp16.
    """

    active = True

    def __init__(self, precision: str, device: str, scaler: torch.amp.GradScaler | None = None):
        self.precision, self.device = precision, device
        half = precision == "16-mixed"
        self.scaler = scaler or (torch.amp.GradScaler(device) if half else None)
        self._autocast = torch.autocast(device, dtype=torch.float16 if half else torch.bfloat16)

    def forward_context(self) -> AbstractContextManager[Any]:
        """Autocast; one object for all steps."""
        return self._autocast

    def inner_context(self) -> AbstractContextManager[Any]:
        """Autocast, an object of its own: it keeps what it must restore on itself, so one can't be entered twice."""
        return copy(self._autocast)

    def scale(self, loss: Tensor) -> Tensor:
        """The loss times the scale."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def unscale(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale, once a step."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        """Step unless a gradient is infinite or NaN, then adapt the scale."""
        if self.scaler is None:
            return super().step(optimizer, closure)
        outcome = closure() if closure is not None else None
        self.scaler.step(optimizer)
        self.scaler.update()
        return outcome

    def state_dict(self) -> dict[str, Any]:
        """The scaler's state."""
        return {} if self.scaler is None else dict(self.scaler.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the scaler's state."""
        if self.scaler is not None and state_dict:
            self.scaler.load_state_dict(state_dict)


class TruePrecision(Precision):
    """Weights, inputs and operations all in one dtype.

    Args:
        precision: ``"64-true"``, ``"16-true"`` or ``"bf16-true"``.
    """

    active = True

    def __init__(self, precision: str):
        self.precision = precision
        self.dtype = TRUE[precision]

    @property
    def input_dtype(self) -> torch.dtype:
        """The dtype of everything."""
        return self.dtype

    def convert_module(self, module: Module) -> Module:
        """All floating-point weights and buffers in the dtype."""
        return module.to(dtype=self.dtype)

    def convert_input(self, data: Any) -> Any:
        """Floating-point tensors in the dtype; integers and booleans stay."""
        return map_tensors(data, lambda tensor: tensor.to(self.dtype) if tensor.is_floating_point() else tensor)

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        """New tensors are made in the dtype."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)

    init_context = forward_context


def resolve_precision(precision: Any, device: str) -> Precision:
    """The numerics that ``Trainer(precision=…)`` means.

    Args:
        precision: a name or alias, 16, 32 or 64, None, or a :class:`Precision`.
        device: the device's type; fp16 autocast isn't available on ``cpu``, where bf16 is taken with a warning.

    Raises:
        InvalidValueError: an unknown name.
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
    if name in TRUE:
        return TruePrecision(name)
    return Precision() if name == "32-true" else MixedPrecision(name, device)
