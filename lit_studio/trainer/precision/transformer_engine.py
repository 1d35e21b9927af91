"""8-bit floating point on NVIDIA's newer GPUs, by Transformer Engine.

It must not know the loop, loggers or devices; the package ``transformer_engine`` is imported only when this is made.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from lit_studio.base.errors import MissingDependencyError
from lit_studio.trainer.precision.base import DtypePrecision, default_dtype, layers_replaced


class TransformerEnginePrecision(DtypePrecision):
    """Linear and layer-norm layers compute in fp8, all else in ``fallback_compute_dtype``.

    Linear layers need sizes that are multiples of 8 (inputs) and 16 (outputs); others stay as they are.

    Args:
        weights_dtype: of the weights.
        recipe: of Transformer Engine's ``DelayedScaling``: its arguments as a dict, or a recipe of any kind.
        replace_layers: whether ``nn.Linear`` and ``nn.LayerNorm`` are replaced; None (default) does so where the
            module has no layers of Transformer Engine yet.
        fallback_compute_dtype: for operations without fp8; ``weights_dtype`` by default.

    Raises:
        MissingDependencyError: the package ``transformer-engine`` is not installed.
    """

    precision = "transformer-engine"

    def __init__(
        self,
        *,
        weights_dtype: torch.dtype,
        recipe: Mapping[str, Any] | Any = None,
        replace_layers: bool | None = None,
        fallback_compute_dtype: torch.dtype | None = None,
    ):
        if importlib.util.find_spec("transformer_engine") is None:
            raise MissingDependencyError(
                "transformer-engine", extra="transformer-engine", purpose="Precision in fp8 by Transformer Engine"
            )
        recipes = importlib.import_module("transformer_engine.common.recipe")
        if recipe is None or isinstance(recipe, Mapping):
            given = dict(recipe or {})
            if isinstance(given.get("fp8_format"), str):
                given["fp8_format"] = getattr(recipes.Format, given["fp8_format"])
            recipe = recipes.DelayedScaling(**given)
        self.dtype = weights_dtype
        self.recipe, self.replace_layers = recipe, replace_layers
        self.fallback_compute_dtype = fallback_compute_dtype or weights_dtype
        if weights_dtype == torch.float16:
            self.precision = "transformer-engine-float16"

    @property
    def weights_dtype(self) -> torch.dtype:
        """The dtype under Lightning's name."""
        return self.dtype

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Its layers replaced, its weights in ``weights_dtype``."""
        has = any(type(part).__module__.startswith("transformer_engine") for part in module.modules())
        if not has and self.replace_layers is not False:
            _replace(module, _engine())
        return module.to(dtype=self.weights_dtype)

    @contextmanager
    def module_init_context(self) -> Iterator[None]:
        """The same, and with ``replace_layers=True`` layers are Transformer Engine's at once."""
        with ExitStack() as stack:
            if self.replace_layers:
                engine = _engine()
                stack.enter_context(layers_replaced(Linear=engine.Linear, LayerNorm=engine.LayerNorm))
            stack.enter_context(default_dtype(self.weights_dtype))
            yield

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        """fp8 where there is a layer for it, inside autocast for all else."""
        engine = _engine()
        if hasattr(engine, "autocast"):  # its newer name
            fp8 = engine.autocast(enabled=True, recipe=self.recipe)
        else:
            fp8 = engine.fp8_autocast(enabled=True, fp8_recipe=self.recipe)
        with default_dtype(self.weights_dtype), torch.autocast("cuda", self.fallback_compute_dtype), fp8:
            yield


def _engine() -> Any:
    return importlib.import_module("transformer_engine.pytorch")


def _replace(module: nn.Module, engine: Any) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            if child.in_features % 8 or child.out_features % 16:
                warnings.warn(
                    f"The layer {name!r} stays as it is: fp8 needs a multiple of 8 inputs and of 16 outputs, and it "
                    f"has {child.in_features} and {child.out_features}. Padding them would help.",
                    stacklevel=2,
                )
                continue
            other = engine.Linear(child.in_features, child.out_features, bias=child.bias is not None)
        elif isinstance(child, nn.LayerNorm) and child.elementwise_affine and len(child.normalized_shape) == 1:
            other = engine.LayerNorm(child.normalized_shape[0], eps=child.eps)
        else:
            _replace(child, engine)
            continue
        with torch.no_grad():
            for part in ("weight", "bias"):
                own, new = getattr(child, part), getattr(other, part, None)
                if isinstance(new, nn.Parameter):
                    new.data = torch.zeros_like(new) if own is None else own.data.clone()
        setattr(module, name, other)
