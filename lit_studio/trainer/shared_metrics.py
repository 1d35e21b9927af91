"""``self.log(…, sync_dist=True)`` on several ranks: what a value means when each rank has one of its own.

It must not know hooks or loaders; :mod:`results` keeps the values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lit_studio.trainer.results import REDUCTIONS

if TYPE_CHECKING:
    from lit_studio.trainer.results import Results, Series
    from lit_studio.trainer.strategies import Strategy


class SharedMetrics:
    """Reduces over the ranks what is logged with ``sync_dist=True``.

    A value by step, and one that is logged once in a hook of an epoch, is reduced at once, which waits for the other
    ranks. An epoch's values are kept, and reduced in one go at its end: a mean stays weighted by batch sizes. All ranks
    must log the same keys in the same order.

    Args:
        results: who keeps the values.
        strategy: how ranks talk.
    """

    def __init__(self, results: Results, strategy: Strategy):
        self._results, self._strategy = results, strategy

    def log(self, value: Any, group: Any, batch_size: int | None, key: tuple[Any, ...]) -> None:
        """Keep ``value``.

        Args:
            value: as for ``self.log``.
            group: the ranks; all if None.
            batch_size: the weight of the mean; by default taken from the batch.
            key: name, loader and the other arguments, as :class:`Results` tells series apart.
        """
        results = self._results
        scope = results.scope
        series = scope.series.get(key)
        if series is None:
            series = results.define(key)
            if series.on_step and series.on_epoch and not hasattr(value, "compute"):
                scope.series[(key, "epoch")] = replace(series, on_step=False, pending=[], steps=[], weights=[])
                series.on_epoch = False
        value = _scalar(value)
        if not isinstance(value, Tensor):  # a torchmetrics object, which talks to the other ranks itself
            results.keep(series, value, batch_size)
            return
        epoch = scope.series.get((key, "epoch"), series if series.on_epoch and scope.steps else None)
        if epoch is not None:
            if epoch.sync is None:
                epoch.sync = lambda found: self._reduce_epoch(found, group)
            results.keep(epoch, value, batch_size)
        if epoch is not series:
            reduced = self._strategy.reduce(value, group, REDUCTIONS.get(key[6], "mean"))
            results.keep(series, reduced, batch_size if scope.steps else 1)

    def _reduce_epoch(self, series: Series, group: Any) -> float:
        own = torch.tensor([series.total, series.weight], dtype=torch.float64)
        if series.reduction != "mean":
            return float(self._strategy.reduce(own, group, series.reduction)[0])
        total, weight = self._strategy.reduce(own, group, "sum").tolist()
        return total / weight if weight else float("nan")


def _scalar(value: Any) -> Any:
    """``value`` as a tensor that may be changed, if it is a number or a tensor with one element."""
    if isinstance(value, Tensor):
        return value.detach().clone().reshape(()) if value.numel() == 1 else value
    if isinstance(value, bool | int | float):
        return torch.tensor(float(value))
    return value
