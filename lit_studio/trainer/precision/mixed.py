"""Mixed precision: weights in fp32, operations in 16 bits where that is safe, and the loss scaling that fp16 needs.

It must not know the loop, loggers or devices beyond their type.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import copy
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from lit_studio.base.errors import InvalidValueError, MisconfigurationException
from lit_studio.trainer.precision.base import Precision


class MixedPrecision(Precision):
    """Weights in fp32, operations in fp16 or bf16 where that is safe (autocast); fp16 with loss scaling.

    Args:
        precision: ``"16-mixed"`` or ``"bf16-mixed"``.
        device: the device's type, for instance ``"cuda"``.
        scaler: a scaler of the user's; by default one is made for fp16.

    Raises:
        InvalidValueError: another precision.
        MisconfigurationException: a scaler with bf16, which has no use for one.
    """

    def __init__(
        self, precision: Literal["16-mixed", "bf16-mixed"], device: str, scaler: torch.amp.GradScaler | None = None
    ):
        if precision not in ("16-mixed", "bf16-mixed"):
            raise InvalidValueError(
                "MixedPrecision doesn't know this precision", value=precision, valid="'16-mixed' or 'bf16-mixed'"
            )
        half = precision == "16-mixed"
        if scaler is not None and not half:
            raise MisconfigurationException("`precision='bf16-mixed'` does not use a scaler", value=scaler)
        self.precision, self.device = precision, device
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

    def unscale_gradients(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale, once a step."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        """Step unless a gradient is infinite or NaN, then adapt the scale."""
        if self.scaler is None:
            return optimizer.step() if closure is None else optimizer.step(closure)
        if isinstance(optimizer, LBFGS):  # it evaluates the loss several times a step
            raise MisconfigurationException("AMP and the LBFGS optimizer are not compatible", value=self.precision)
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
