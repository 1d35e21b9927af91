"""Where a model lies and how its parts talk: strategies, found by name.

They must not know the loop: it asks its strategy to place the module, to reduce a value, to wait.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from lit_studio.base import registry
from lit_studio.base.errors import InvalidTypeError, InvalidValueError, MisconfigurationException
from lit_studio.trainer.strategies.base import SingleDeviceStrategy, Strategy

if TYPE_CHECKING:
    from lit_studio.trainer.strategies.ddp import DDPStrategy
    from lit_studio.trainer.strategies.parallel import ParallelStrategy

__all__ = ["DDPStrategy", "ParallelStrategy", "SingleDeviceStrategy", "Strategy", "resolve_strategy"]

SINGLE = ("single", "single_device")
# How the ranks of each name start; a person in a notebook or at a prompt has no script that could be run again.
DDP = {"ddp": "popen", "ddp_spawn": "spawn", "ddp_fork": "fork", "ddp_notebook": "fork"}
UNUSED = {
    "_find_unused_parameters_false": {"find_unused_parameters": False},
    "_find_unused_parameters_true": {"find_unused_parameters": True},
}
LATER = ("fsdp", "deepspeed", "model_parallel")
NAMES = (*SINGLE, *DDP, *(name + ending for name in DDP for ending in UNUSED))
_log = logging.getLogger("lit_studio")


def __getattr__(name: str) -> Any:
    if name == "DDPStrategy":  # on one device nothing of torch's distributed part is needed
        from lit_studio.trainer.strategies.ddp import DDPStrategy

        return DDPStrategy
    if name == "ParallelStrategy":
        from lit_studio.trainer.strategies.parallel import ParallelStrategy

        return ParallelStrategy
    raise AttributeError(name)


def is_interactive() -> bool:
    """Whether a person types at a prompt or in a notebook's cells."""
    return hasattr(sys, "ps1") or bool(sys.flags.interactive)


def resolve_strategy(strategy: str | Strategy, devices: int = 1, num_nodes: int = 1) -> Strategy:
    """The strategy that ``Trainer(strategy=…)`` means.

    Args:
        strategy: a name, a plugin's name in the registry group ``strategies``, or a :class:`Strategy`.
        devices: of each node.
        num_nodes: nodes.

    Raises:
        MisconfigurationException: a strategy that this version doesn't have, or one for one device and several of them.
        InvalidValueError: an unknown name.
        InvalidTypeError: neither a name nor a strategy.
    """
    several = devices * num_nodes > 1
    if strategy == "auto":
        strategy = "single" if not several else "ddp_notebook" if is_interactive() else "ddp"
    if not isinstance(strategy, Strategy | str):
        raise InvalidTypeError("strategy has the wrong type", value=strategy, valid="a name or a Strategy")
    if several and (strategy in SINGLE or isinstance(strategy, SingleDeviceStrategy)):
        raise MisconfigurationException(
            "This strategy uses one device only", value=f"devices={devices}, num_nodes={num_nodes}", valid="'ddp'"
        )
    if isinstance(strategy, Strategy):
        return strategy
    if strategy in SINGLE:
        return SingleDeviceStrategy()
    if strategy in registry.names("strategies"):
        made: Any = registry.get("strategies", strategy)()
        return made
    if strategy in NAMES:
        return _ddp(strategy)
    known = ", ".join(["auto", *NAMES, *registry.names("strategies")])
    if strategy.startswith(LATER):
        raise MisconfigurationException(
            "This strategy is not available yet", value=strategy, valid=f"one of {known}", advice="'ddp' is there."
        )
    raise InvalidValueError("You selected an invalid strategy name", value=strategy, valid=f"one of {known}")


def _ddp(name: str) -> Strategy:
    from lit_studio.trainer.strategies.ddp import DDPStrategy

    options: dict[str, Any] = {}
    for ending, found in UNUSED.items():
        if name.endswith(ending):
            name, options = name.removesuffix(ending), found
    return DDPStrategy(start_method=DDP[name], **options)
