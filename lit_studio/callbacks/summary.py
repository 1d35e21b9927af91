"""What a model consists of: its layers with parameters, modes and sizes, and the totals.

It must not know how a summary is shown to anyone but as a plain-text table.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.random import fork_rng
from torch.utils.flop_counter import FlopCounterMode

from lit_studio.base.errors import InvalidValueError

_UNITS = ("", " K", " M", " B", " T")
_UNKNOWN = "?"


@dataclass(slots=True)
class LayerSummary:
    """One module inside the model.

    Attributes:
        name: its name in the model, with dots.
        layer_type: its class.
        num_parameters: parameters in it and below.
        training: whether it is in training mode.
        in_size, out_size: shapes as seen in one forward pass, ``"?"`` where unknown.
        flops: floating-point operations of that pass in it and below, by operation.
    """

    name: str
    layer_type: str
    num_parameters: int
    training: bool
    in_size: Any = _UNKNOWN
    out_size: Any = _UNKNOWN
    flops: dict[Any, int] = field(default_factory=dict)


class ModelSummary:
    """Counts a model's parameters, and watches one forward pass where the model has an ``example_input_array``.

    The pass runs in evaluation mode without gradients, and leaves modes and random numbers as they were. One that
    fails is reported by a warning and leaves the sizes unknown.

    Args:
        model: any module.
        max_depth: how deep to list modules: 1 the children, −1 all, 0 none.

    Attributes:
        layers: the listed modules, outermost first.
        total_parameters, trainable_parameters: numbers of elements, shared ones once.
        total_layer_params: parameters that lie in the listed modules.
        model_size: megabytes of parameters and buffers as they are stored.
        total_training_modes: modules in training and in evaluation mode: ``{"train": …, "eval": …}``.
        total_flops: floating-point operations of the forward pass, 0 without one.

    Raises:
        InvalidValueError: ``max_depth`` is below −1 or no integer.
    """

    def __init__(self, model: nn.Module, max_depth: int = 1):
        if not isinstance(max_depth, int) or max_depth < -1:
            raise InvalidValueError("max_depth is no depth", value=max_depth, valid="−1, 0, 1, 2, …")
        self.max_depth = max_depth
        parameters = list(model.parameters())
        self.total_parameters = sum(map(_elements, parameters))
        self.trainable_parameters = sum(_elements(p) for p in parameters if p.requires_grad)
        stored = (*parameters, *model.buffers())
        self.model_size = sum(_elements(t) * t.element_size() for t in stored if not _is_lazy(t)) / 1e6
        modes = [module.training for module in model.modules() if module is not model]
        self.total_training_modes = {"train": sum(modes), "eval": len(modes) - sum(modes)}
        self.has_lazy = any(map(_is_lazy, parameters))
        self.layers, self._modules = [], []
        for name, module in _listed(model, max_depth):
            count = sum(map(_elements, module.parameters()))
            self.layers.append(LayerSummary(name, type(module).__name__, count, module.training))
            self._modules.append(module)
        listed = {id(p) for module in self._modules for p in module.parameters()}
        self.total_layer_params = sum(_elements(p) for p in parameters if id(p) in listed)
        self.total_flops = 0
        self._watch(model)

    @property
    def total_params_outside(self) -> int:
        """Parameters that lie in none of the listed modules."""
        return self.total_parameters - self.total_layer_params if self.layers else 0

    @property
    def layer_names(self) -> list[str]:
        """The listed modules' names."""
        return [layer.name for layer in self.layers]

    @property
    def layer_types(self) -> list[str]:
        """The listed modules' classes."""
        return [layer.layer_type for layer in self.layers]

    @property
    def param_nums(self) -> list[int]:
        """The listed modules' parameters."""
        return [layer.num_parameters for layer in self.layers]

    @property
    def training_modes(self) -> list[bool]:
        """Whether the listed modules are in training mode."""
        return [layer.training for layer in self.layers]

    @property
    def named_modules(self) -> list[tuple[str, nn.Module]]:
        """The listed modules with their names."""
        return list(zip(self.layer_names, self._modules, strict=True))

    def summarize(self) -> dict[str, LayerSummary]:
        """The listed modules' summaries by name."""
        return {layer.name: layer for layer in self.layers}

    @property
    def flop_counts(self) -> dict[str, dict[Any, int]]:
        """The forward pass's operations in each listed module, by name and by operation."""
        return {layer.name: layer.flops for layer in self.layers}

    @property
    def in_sizes(self) -> list[Any]:
        """The listed modules' input shapes."""
        return [layer.in_size for layer in self.layers]

    @property
    def out_sizes(self) -> list[Any]:
        """The listed modules' output shapes."""
        return [layer.out_size for layer in self.layers]

    def columns(self) -> list[tuple[str, list[str]]]:
        """The table, column by column: title and one cell a layer."""
        layers, outside = self.layers, self.total_params_outside
        extra = 1 if outside else 0
        table = [
            (" ", [*(str(i) for i in range(len(layers))), *[" "] * extra]),
            ("Name", [*(layer.name for layer in layers), *["other params"] * extra]),
            ("Type", [*(layer.layer_type for layer in layers), *["n/a"] * extra]),
            ("Params", [human_count(n) for n in (*self.param_nums, *[outside] * extra)]),
            ("Mode", [*("train" if layer.training else "eval" for layer in layers), *["n/a"] * extra]),
        ]
        if self.total_flops:
            table.append(("FLOPs", [*(human_count(sum(layer.flops.values())) for layer in layers), *["n/a"] * extra]))
        if any(layer.out_size != _UNKNOWN for layer in layers):
            table.append(("In sizes", [*(str(layer.in_size) for layer in layers), *["n/a"] * extra]))
            table.append(("Out sizes", [*(str(layer.out_size) for layer in layers), *["n/a"] * extra]))
        return table

    def totals(self) -> list[tuple[str, str]]:
        """The lines under the table: number and meaning."""
        return total_lines(
            self.total_parameters,
            self.trainable_parameters,
            self.model_size,
            self.total_training_modes,
            self.total_flops,
        )

    def __str__(self) -> str:
        return text_table(self.columns(), self.totals())

    __repr__ = __str__

    def _watch(self, model: nn.Module) -> None:
        example = getattr(model, "example_input_array", None)
        if example is None:
            return
        handles = [
            module.register_forward_hook(_recorder(layer), with_kwargs=True)
            for module, layer in zip(self._modules, self.layers, strict=True)
        ]
        example = _like(example, next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0)))
        counter = FlopCounterMode(display=False)
        # A device that nobody has used yet has no state to keep, and asking for it would set it up.
        devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
        try:
            with fork_rng(devices), _evaluating(model), torch.no_grad(), counter:
                if isinstance(example, Mapping):
                    model(**example)
                elif isinstance(example, tuple | list):
                    model(*example)
                else:
                    model(example)
            self.total_flops = counter.get_total_flops()
            counts, root = counter.get_flop_counts(), type(model).__name__
            for layer in self.layers:
                layer.flops = dict(counts.get(f"{root}.{layer.name}", {}))
        except Exception as error:  # noqa: BLE001 - a summary must not end a run
            warnings.warn(
                f"The model's sizes are unknown: its forward pass with example_input_array failed with {error!r}.",
                stacklevel=4,
            )
        finally:
            for handle in handles:
                handle.remove()


def summarize(lightning_module: nn.Module, max_depth: int = 1) -> ModelSummary:
    """The summary of a module; see :class:`ModelSummary`."""
    return ModelSummary(lightning_module, max_depth)


def total_lines(
    total_parameters: int,
    trainable_parameters: int,
    model_size: float,
    total_training_modes: Mapping[str, int],
    total_flops: int,
) -> list[tuple[str, str]]:
    """The lines under a summary's table: number and meaning."""
    lines = [
        (human_count(trainable_parameters), "Trainable params"),
        (human_count(total_parameters - trainable_parameters), "Non-trainable params"),
        (human_count(total_parameters), "Total params"),
        (formatted_size(model_size), "Total size (MB)"),
        (str(total_training_modes["train"]), "Modules in train mode"),
        (str(total_training_modes["eval"]), "Modules in eval mode"),
    ]
    return [*lines, (human_count(total_flops), "FLOPs of a forward pass")] if total_flops else lines


def text_table(columns: Iterable[tuple[str, list[str]]], totals: Iterable[tuple[str, str]]) -> str:
    """A plain-text table with the totals under it."""
    columns = list(columns)
    widths = [max(len(title), *map(len, cells), 0) if cells else len(title) for title, cells in columns]
    rows = [[title for title, _ in columns], *map(list, zip(*(cells for _, cells in columns), strict=True))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    rule = "-" * max(map(len, lines))
    body = [lines[0], rule, *lines[1:], rule] if len(lines) > 1 else []
    return "\n".join([*body, *(f"{number.ljust(9)} {meaning}" for number, meaning in totals)])


def formatted_size(total_model_size: float) -> str:
    """Megabytes with three decimals, as the summary shows them."""
    return f"{total_model_size:,.3f}"


def human_count(number: int) -> str:
    """``1.3 K``, ``25.6 M``: three digits at most and a unit."""
    if number < 1000:
        return str(number)
    power = min(int(math.log10(number) // 3), len(_UNITS) - 1)
    value = number / 1000**power
    if round(value, 1) >= 1000 and power < len(_UNITS) - 1:
        value, power = value / 1000, power + 1
    return f"{value:.1f}{_UNITS[power]}" if value < 100 else f"{value:,.0f}{_UNITS[power]}"


def _elements(tensor: torch.Tensor) -> int:
    return 0 if _is_lazy(tensor) else tensor.numel()


def _is_lazy(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, UninitializedParameter | UninitializedBuffer)


def _listed(model: nn.Module, max_depth: int) -> Iterator[tuple[str, nn.Module]]:
    for name, module in model.named_modules():
        if name and (max_depth == -1 or name.count(".") < max_depth):
            yield name, module


def _recorder(layer: LayerSummary) -> Callable[..., None]:
    def record(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if layer.in_size == _UNKNOWN:
            layer.in_size = shape_of(args[0] if len(args) == 1 else args or list(kwargs.values()))
            layer.out_size = shape_of(output)

    return record


def shape_of(batch: Any) -> Any:
    """The shapes of the tensors in ``batch``, nested as it is; ``"?"`` for what has none."""
    if isinstance(batch, list | tuple) and batch:
        return [shape_of(item) for item in batch]
    shape = getattr(batch, "shape", None)
    return list(shape) if isinstance(shape, torch.Size | tuple) else _UNKNOWN


def _like(value: Any, parameter: torch.Tensor) -> Any:
    """``value`` on the parameter's device, floating-point tensors in its type (a model may be in bfloat16)."""
    if isinstance(value, Mapping):
        return {key: _like(item, parameter) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_like(item, parameter) for item in value)
    if not isinstance(value, torch.Tensor):
        return value
    return value.to(parameter.device, parameter.dtype if value.is_floating_point() else None)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
