"""Lightning's `lightning.fabric.utilities.types`: names for annotations.

It must not hold anything of its own: they are names for what torch and users give.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import UntypedStorage
from torch.distributed import ProcessGroup, ReduceOp
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

RedOpType: Any = getattr(ReduceOp, "RedOpType", ReduceOp)
_PATH = str | Path
_DEVICE = torch.device | str | int
_MAP_LOCATION_TYPE = _DEVICE | Callable[[UntypedStorage, str], UntypedStorage | None] | dict[_DEVICE, _DEVICE] | None
_PARAMETERS = Iterator[torch.nn.Parameter]


@runtime_checkable
class _Stateful(Protocol):
    """Whatever a checkpoint can keep."""

    def state_dict(self) -> dict[Any, Any]:
        """What a checkpoint keeps."""
        ...

    def load_state_dict(self, state_dict: dict[Any, Any]) -> None:
        """Go on from what a checkpoint kept."""
        ...


@runtime_checkable
class CollectibleGroup(Protocol):
    """A group of ranks."""

    def size(self) -> int:
        """How many they are."""
        ...

    def rank(self) -> int:
        """This process among them."""
        ...


@runtime_checkable
class Steppable(Protocol):
    """Whatever has an optimizer's ``step``."""

    def step(self, closure: Callable[[], float] | None = ...) -> float | None:
        """Change the parameters."""
        ...


@runtime_checkable
class Optimizable(Steppable, Protocol):
    """Whatever can be used as an optimizer."""

    param_groups: list[dict[Any, Any]]
    defaults: dict[Any, Any]
    state: dict[torch.Tensor, Any]

    def state_dict(self) -> dict[str, dict[Any, Any]]:
        """What a checkpoint keeps."""
        ...

    def load_state_dict(self, state_dict: dict[str, dict[Any, Any]]) -> None:
        """Go on from what a checkpoint kept."""
        ...


__all__ = [
    "CollectibleGroup",
    "LRScheduler",
    "Optimizable",
    "ProcessGroup",
    "RedOpType",
    "ReduceLROnPlateau",
    "ReduceOp",
    "Steppable",
    "UntypedStorage",
]
