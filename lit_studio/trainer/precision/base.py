"""Full precision, and the face of all numerics: what happens to weights, inputs, the loss and gradients.

It must not know the loop, loggers or devices beyond their type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.optim import Optimizer

from lit_studio.trainer.batches import map_tensors


class Precision:
    """Full precision: nothing is changed. Also the seam for other numerics: override what should differ.

    Attributes:
        precision: the name, for instance ``"32-true"``.
        scaler: the gradient scaler, None without one.
        active: whether the contexts and conversions do anything, which a subclass's do unless it says otherwise; the
            loop skips them if not.
    """

    precision = "32-true"
    active = False
    scaler: torch.amp.GradScaler | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "active" not in cls.__dict__:
            cls.active = True

    @property
    def converts_input(self) -> bool:
        """Whether :meth:`convert_input` does anything."""
        return type(self).convert_input is not Precision.convert_input

    def convert_module(self, module: Module) -> Module:
        """``module`` with its floating-point weights in this precision."""
        return module

    def convert_input(self, data: Any) -> Any:
        """``data`` with its floating-point tensors in this precision."""
        return data

    def convert_output(self, data: Any) -> Any:
        """``data`` with its floating-point tensors in torch's default dtype."""
        return data

    def forward_context(self) -> AbstractContextManager[Any]:
        """What steps of the module run in."""
        return nullcontext()

    def train_step_context(self) -> AbstractContextManager[Any]:
        """Another name of :meth:`forward_context`, as those of the other steps are."""
        return self.forward_context()

    val_step_context = test_step_context = predict_step_context = train_step_context

    def inner_context(self) -> AbstractContextManager[Any]:
        """The same, for where one may be entered inside another: a model within a model."""
        return self.forward_context()

    def tensor_init_context(self) -> AbstractContextManager[Any]:
        """What tensors are made in, so that they are in this precision at once."""
        return nullcontext()

    def module_init_context(self) -> AbstractContextManager[Any]:
        """What a module is built in, so that its weights are in this precision at once."""
        return self.tensor_init_context()

    def scale(self, loss: Tensor) -> Tensor:
        """The loss to call ``backward`` on."""
        return loss

    def unscale(self, optimizer: Optimizer) -> None:
        """:meth:`unscale_gradients`, as the loop calls it."""
        self.unscale_gradients(optimizer)

    def unscale_gradients(self, optimizer: Optimizer) -> None:
        """Bring the gradients back to their true size, before they are looked at or clipped."""

    def step(self, optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
        """Step ``optimizer``, whose gradients were made under this precision."""
        return optimizer.step() if closure is None else optimizer.step(closure)

    def main_params(self, optimizer: Optimizer) -> Iterator[Parameter]:
        """The parameters that ``optimizer`` changes."""
        for group in optimizer.param_groups:
            yield from group["params"]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint should keep."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` returned."""

    def teardown(self) -> None:
        """The call is over: release what is held."""


class DtypePrecision(Precision):
    """Inputs and new tensors in one dtype, outputs in torch's default one; subclasses say which, and convert weights.

    Attributes:
        dtype: the one.
    """

    dtype: torch.dtype

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


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Let new floating-point tensors be made in ``dtype``."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def floats_to(data: Any, dtype: torch.dtype) -> Any:
    """``data`` with its floating-point tensors in ``dtype``; integers and booleans stay."""
    return map_tensors(data, lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)


@contextmanager
def layers_replaced(**classes: Any) -> Iterator[None]:
    """Let ``torch.nn.<name>`` mean another class while a module is built."""
    before = {name: getattr(torch.nn, name) for name in classes}
    try:
        for name, other in classes.items():
            setattr(torch.nn, name, other)
        yield
    finally:
        for name, own in before.items():
            setattr(torch.nn, name, own)
