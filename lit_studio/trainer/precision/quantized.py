"""Weights in 8 or 4 bits, by bitsandbytes.

It must not know the loop, loggers or devices; the package ``bitsandbytes`` is imported only when this is made.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from lit_studio.base.errors import InvalidStateError, InvalidValueError, MissingDependencyError
from lit_studio.trainer.precision.base import DtypePrecision, layers_replaced

# By mode: the class in bitsandbytes.nn, and what it is made with.
_LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "nf4": ("LinearNF4", {"compress_statistics": False}),
    "nf4-dq": ("LinearNF4", {"compress_statistics": True}),
    "fp4": ("LinearFP4", {"compress_statistics": False}),
    "fp4-dq": ("LinearFP4", {"compress_statistics": True}),
    "int8": ("Linear8bitLt", {"has_fp16_weights": False, "threshold": 6.0}),
    "int8-training": ("Linear8bitLt", {"has_fp16_weights": True, "threshold": 6.0}),
}


class BitsandbytesPrecision(DtypePrecision):
    """Linear layers keep their weights in 8 or 4 bits; all else is in ``dtype``.

    Weights are quantized when the module goes to its device, after a checkpoint's weights have been put into it. Only
    ``int8-training`` trains them; with the others, train what is added to the module (adapters, a head named in
    ``ignore_modules``).

    Args:
        mode: ``"nf4"``, ``"nf4-dq"``, ``"fp4"``, ``"fp4-dq"``, ``"int8"`` or ``"int8-training"``; ``-dq`` quantizes
            the quantization's own constants too.
        dtype: of everything else and of operations; by default fp16 with int8 and on devices without bf16, else bf16.
        ignore_modules: names of submodules, or beginnings of names, that stay as they are.

    Raises:
        MissingDependencyError: the package ``bitsandbytes`` is not installed.
        InvalidValueError: another mode, or int8 with another dtype than fp16.
    """

    precision = "bitsandbytes"

    def __init__(
        self,
        mode: Literal["nf4", "nf4-dq", "fp4", "fp4-dq", "int8", "int8-training"],
        dtype: torch.dtype | None = None,
        ignore_modules: Iterable[str] | None = None,
    ):
        if importlib.util.find_spec("bitsandbytes") is None:
            raise MissingDependencyError("bitsandbytes", extra="bitsandbytes", purpose="BitsandbytesPrecision")
        if mode not in _LAYERS:
            raise InvalidValueError("This is no mode of bitsandbytes", value=mode, valid=f"one of {', '.join(_LAYERS)}")
        eight = mode.startswith("int8")
        if dtype is None:
            wide = not eight and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
            dtype = torch.bfloat16 if wide else torch.float16
        if eight and dtype != torch.float16:
            raise InvalidValueError(f"{mode!r} only works with `dtype=torch.float16`", value=dtype)
        self.mode, self.dtype, self.ignore_modules = mode, dtype, frozenset(ignore_modules or ())

    def _layer(self) -> Callable[..., nn.Module]:
        name, more = _LAYERS[self.mode]
        if not self.mode.startswith("int8"):
            more = {**more, "compute_dtype": self.dtype}
        return partial(getattr(importlib.import_module("bitsandbytes.nn"), name), **more)

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Its linear layers replaced, to be quantized on their way to the device; everything else in the dtype."""
        kinds = importlib.import_module("bitsandbytes.nn")
        quantized = (kinds.Linear4bit, kinds.Linear8bitLt)
        if not any(isinstance(part, quantized) for part in module.modules()):
            self._replace(module, self._layer(), "")
        for part in module.modules():
            if isinstance(part, quantized):
                if self.mode == "int8-training":  # the one whose weights stay numbers
                    part.weight.data = part.weight.data.to(self.dtype)
                if part.bias is not None:
                    part.bias.data = part.bias.data.to(self.dtype)
                continue
            for tensors in (part._parameters, part._buffers):
                for tensor in tensors.values():
                    if tensor is not None and tensor.is_floating_point():
                        tensor.data = tensor.data.to(self.dtype)
        return module

    def _replace(self, module: nn.Module, layer: Callable[..., nn.Module], prefix: str) -> None:
        for name, child in module.named_children():
            path = f"{prefix}{name}"
            if not isinstance(child, nn.Linear):
                self._replace(child, layer, f"{path}.")
            elif not any(path.startswith(one) for one in self.ignore_modules):
                other: Any = layer(child.in_features, child.out_features, bias=child.bias is not None)
                other.load_state_dict(child.state_dict())
                other.train(child.training)
                setattr(module, name, other)

    def module_init_context(self) -> AbstractContextManager[Any]:
        """``nn.Linear`` is the quantized layer at once.

        Raises:
            InvalidStateError: there are ``ignore_modules``, whose names aren't known yet while a module is built.
        """
        if self.ignore_modules:
            raise InvalidStateError(
                "A module can't be built quantized where some of its layers are to be left out",
                value=sorted(self.ignore_modules),
                advice="Build it as it is, outside `init_module()` and `configure_model()`.",
            )
        return layers_replaced(Linear=self._layer())
