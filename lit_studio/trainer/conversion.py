"""Turning numbers in nested collections into tensors, and tensors into numbers.

It must not know what the collections are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lit_studio.base.errors import InvalidValueError
from lit_studio.trainer.batches import map_tensors, move

# A bool becomes uint8, because NCCL sends none; the others what they are in 32 bits.
_KINDS = ((bool, torch.uint8), (int, torch.int32), (float, torch.float32))


def move_data_to_device(batch: Any, device: torch.device | str) -> Any:
    """``batch`` on ``device``; whatever in it has a ``.to(device)`` of its own is asked to move itself."""
    return move(batch, torch.device(device))


def convert_to_tensors(data: Any, device: torch.device | str) -> Any:
    """``data`` on ``device``, with its numbers and NumPy arrays as tensors."""
    device = torch.device(device)
    if isinstance(data, Tensor):
        return move(data, device)
    for kind, dtype in _KINDS:
        if isinstance(data, kind):
            return torch.tensor(data, dtype=dtype, device=device)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(data, numpy.ndarray):
        return torch.from_numpy(data).to(device)
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(convert_to_tensors(item, device) for item in data))
    if isinstance(data, list | tuple):
        return type(data)(convert_to_tensors(item, device) for item in data)
    if isinstance(data, Mapping):
        return {key: convert_to_tensors(value, device) for key, value in data.items()}
    if is_dataclass(data) and not isinstance(data, type):
        return replace(data, **{f.name: convert_to_tensors(getattr(data, f.name), device) for f in fields(data)})
    return move(data, device)


def convert_tensors_to_scalars(data: Any) -> Any:
    """``data`` with each tensor's one number in place of it.

    Raises:
        InvalidValueError: a tensor of more or fewer than one element.
    """

    def number(tensor: Tensor) -> float | int | bool:
        if tensor.numel() != 1:
            raise InvalidValueError(
                "The metric does not contain a single element, thus it cannot be converted to a scalar", value=tensor
            )
        return tensor.item()

    return map_tensors(data, number)
