"""Where a model lies and how its parts talk: strategies, found by name.

They must not know the loop: it asks its strategy to place the module, to reduce a value, to wait.
"""

from __future__ import annotations

from typing import Any

from lit_studio.base import registry
from lit_studio.base.errors import InvalidTypeError, InvalidValueError, MisconfigurationException
from lit_studio.trainer.strategies.base import SingleDeviceStrategy, Strategy

__all__ = ["SingleDeviceStrategy", "Strategy", "resolve_strategy"]

SINGLE = ("auto", "single", "single_device")
DISTRIBUTED = ("ddp", "ddp_spawn", "ddp_fork", "ddp_notebook", "fsdp", "fsdp2", "deepspeed", "model_parallel")


def resolve_strategy(strategy: str | Strategy) -> Strategy:
    """The strategy that ``Trainer(strategy=…)`` means.

    Args:
        strategy: a name, a plugin's name in the registry group ``strategies``, or a :class:`Strategy`.

    Raises:
        MisconfigurationException: a distributed strategy, which this version doesn't have.
        InvalidValueError: an unknown name.
        InvalidTypeError: neither a name nor a strategy.
    """
    if isinstance(strategy, Strategy):
        return strategy
    if not isinstance(strategy, str):
        raise InvalidTypeError("strategy has the wrong type", value=strategy, valid="a name or a Strategy")
    if strategy in SINGLE:
        return SingleDeviceStrategy()
    if strategy in registry.names("strategies"):
        made: Any = registry.get("strategies", strategy)()
        return made
    if strategy.startswith(DISTRIBUTED):
        raise MisconfigurationException(
            "Distributed strategies are not available yet", value=strategy, valid="'auto' or 'single'"
        )
    known = ", ".join([*SINGLE, *registry.names("strategies")])
    raise InvalidValueError("You selected an invalid strategy name", value=strategy, valid=f"one of {known}")
