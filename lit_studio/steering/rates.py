"""Learning rates as a person changes them: set, multiplied, taken back.

It must not know who asks. A scheduler computes its rates from numbers that it keeps; a change scales those too, or the
next step would undo it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from lit_studio.base.errors import InvalidStateError, InvalidValueError


class LearningRates:
    """The changes that were made to one run's rates, and the way back."""

    def __init__(self) -> None:
        self._changes: list[tuple[list[float], list[float]]] = []  # of all groups, before and after each

    def change(
        self,
        optimizers: Sequence[Optimizer],
        schedulers: Sequence[Any],
        value: float | None = None,
        factor: float | None = None,
        group: int | None = None,
    ) -> str:
        """Set the rate to ``value``, or multiply each group's by ``factor``.

        Args:
            optimizers: all of the run's.
            schedulers: all of the run's settings of schedulers, which have each theirs as ``scheduler``.
            value: the new rate; either this or ``factor``.
            factor: for instance 0.5.
            group: as for :func:`set_learning_rate`.

        Returns:
            What changed, in words.

        Raises:
            InvalidValueError: there is no such group.
        """
        before = _rates(optimizers)
        if value is None:
            factor = 1.0 if factor is None else factor
            wanted = {index: before[index] * factor for index in _chosen(len(before), group)}
            words = _set_rates(optimizers, schedulers, wanted, group)
        else:
            words = set_learning_rate(optimizers, schedulers, value, group)
        self._changes.append((before, _rates(optimizers)))
        return words

    def undo(self, optimizers: Sequence[Optimizer], schedulers: Sequence[Any]) -> str:
        """Take back the last change that hasn't been; what a schedule has made of the rates since then stays.

        Raises:
            InvalidStateError: there is none, or the parameter groups are others by now.
        """
        if not self._changes:
            raise InvalidStateError("no learning rate has been changed")
        before, after = self._changes[-1]
        now = _rates(optimizers)
        if len(now) != len(before):
            raise InvalidStateError("the optimizers have other parameter groups by now")
        self._changes.pop()
        wanted = {
            index: old if rate == new or not new else rate * old / new
            for index, (old, new, rate) in enumerate(zip(before, after, now, strict=True))
            if old != new
        }
        return _set_rates(optimizers, schedulers, wanted, None)


def set_learning_rate(
    optimizers: Sequence[Optimizer], schedulers: Sequence[Any], value: float, group: int | None
) -> str:
    """Set the learning rate so that it lasts: what schedulers compute theirs from is scaled by the same factor.

    Args:
        optimizers: all of the fit's.
        schedulers: all of the fit's settings of schedulers.
        value: the new rate.
        group: a parameter group's index, counted over all optimizers; None for every group.

    Returns:
        What changed, in words, for instance ``lr 0.001 → 0.0005``.

    Raises:
        InvalidValueError: there is no such group.
    """
    chosen = _chosen(len(_places(optimizers)), group)
    return _set_rates(optimizers, schedulers, dict.fromkeys(chosen, value), group)


def _places(optimizers: Sequence[Optimizer]) -> list[tuple[Optimizer, int]]:
    return [(optimizer, index) for optimizer in optimizers for index in range(len(optimizer.param_groups))]


def _rates(optimizers: Sequence[Optimizer]) -> list[float]:
    return [float(optimizer.param_groups[index]["lr"]) for optimizer, index in _places(optimizers)]


def _chosen(groups: int, group: int | None) -> range:
    if not groups or (group is not None and not 0 <= group < groups):
        raise InvalidValueError("There is no such parameter group", value=group, valid=f"0 to {groups - 1}")
    return range(groups) if group is None else range(group, group + 1)


def _set_rates(
    optimizers: Sequence[Optimizer], schedulers: Sequence[Any], wanted: Mapping[int, float], group: int | None
) -> str:
    places, before = _places(optimizers), _rates(optimizers)
    for number, value in wanted.items():
        optimizer, index = places[number]
        _set_rate(optimizer, index, value, before[number])
        for config in schedulers:
            _scale_scheduler(config.scheduler, optimizer, index, value, before[number])
    old, new = (
        ", ".join(dict.fromkeys(f"{rate:g}" for rate in each))
        for each in ([before[number] for number in wanted], wanted.values())
    )
    return f"lr{'' if group is None else f' of group {group}'} {old} → {new}"


def _scaled(number: Any, value: float, old: float) -> Any:
    return number * (value / old) if old else value


def _set_rate(optimizer: Optimizer, index: int, value: float, old: float) -> None:
    settings = optimizer.param_groups[index]
    if isinstance(settings["lr"], Tensor):
        settings["lr"].fill_(value)
    else:
        settings["lr"] = value
    for key in ("initial_lr", "max_lr", "min_lr"):  # what one-cycle and cyclic schedules go between
        if key in settings:
            settings[key] = _scaled(settings[key], value, old)


def _scale_scheduler(scheduler: Any, optimizer: Optimizer, index: int, value: float, old: float) -> None:
    for inner in getattr(scheduler, "_schedulers", ()):  # SequentialLR, ChainedScheduler
        _scale_scheduler(inner, optimizer, index, value, old)
    if getattr(scheduler, "optimizer", None) is not optimizer:
        return
    for name in ("base_lrs", "max_lrs"):
        rates = getattr(scheduler, name, None)
        if isinstance(rates, list) and index < len(rates):
            rates[index] = _scaled(rates[index], value, old)
    last = getattr(scheduler, "_last_lr", None)
    if isinstance(last, list) and index < len(last):
        last[index] = value
