"""The callback that records learning rates (and momenta and weight decays) as they change.

It must not know how a scheduler works: it reads the optimizers' parameter groups.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.optim import Optimizer

from lit_studio.base.errors import MisconfigurationException
from lit_studio.base.events import MetricsLogged, Points
from lit_studio.callbacks.base import Callback

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer


@dataclass(frozen=True, slots=True)
class _Group:
    """One parameter group: its metric's name, and when its scheduler steps (None: it has none)."""

    name: str
    values: dict[str, Any]
    interval: str | None


class LearningRateMonitor(Callback):
    """Logs every optimizer's learning rate as ``lr-<Optimizer>`` to the loggers and the run's record.

    A second optimizer of one class is ``lr-Adam-1``, parameter groups are ``lr-Adam/pg1``, or ``lr-Adam/<name>`` where
    a group has a ``"name"``; a scheduler's own ``"name"`` takes the place of ``lr-<Optimizer>``.

    Args:
        logging_interval: ``"step"`` (as often as ``log_every_n_steps``), ``"epoch"``, or None: as each scheduler steps.
        log_momentum: whether to log momentum (``betas[0]`` for the Adam family) as ``<name>-momentum``.
        log_weight_decay: whether to log weight decay as ``<name>-weight_decay``.

    Attributes:
        lrs: all logged rates by name.
        last_momentum_values, last_weight_decay_values: the latest of those by name.

    Raises:
        MisconfigurationException: another ``logging_interval``; (at the start of training) there is no logger, or two
            groups of one optimizer have the same name.
    """

    def __init__(
        self,
        logging_interval: Literal["step", "epoch"] | None = None,
        log_momentum: bool = False,
        log_weight_decay: bool = False,
    ):
        if logging_interval not in (None, "step", "epoch"):
            raise MisconfigurationException(
                "Unknown logging_interval", value=logging_interval, valid="'step', 'epoch' or None"
            )
        self.logging_interval = logging_interval
        self.log_momentum = log_momentum
        self.log_weight_decay = log_weight_decay
        self.lrs: dict[str, list[float]] = {}
        self.last_momentum_values: dict[str, float | None] = {}
        self.last_weight_decay_values: dict[str, float | None] = {}
        self._logged_step = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew; say so where there is nothing to record."""
        if not trainer.loggers:
            raise MisconfigurationException(
                "LearningRateMonitor can't be used with a `Trainer` that has no logger",
                advice="Pass Trainer(logger=True) or a logger.",
            )
        groups = list(_groups(trainer))
        self.lrs = {group.name: [] for group in groups}
        self._logged_step = -1
        if self.log_momentum and not any("momentum" in g.values or "betas" in g.values for g in groups):
            warnings.warn(
                "LearningRateMonitor(log_momentum=True), but the optimizers do not have momentum.",
                RuntimeWarning,
                stacklevel=2,
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Log what changes with each step, as often as the loggers are written."""
        step = trainer.fit_loop.epoch_loop._batches_that_stepped
        if self.logging_interval == "epoch" or (step + 1) % max(trainer.log_every_n_steps, 1) or trainer.fast_dev_run:
            return
        if step != self._logged_step:  # once a step, whatever is accumulated
            self._logged_step = step
            self._record(trainer, None if self.logging_interval == "step" else "step")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what changes with each epoch."""
        if self.logging_interval != "step" and not trainer.fast_dev_run:
            self._record(trainer, None if self.logging_interval == "epoch" else "epoch")

    def _record(self, trainer: Trainer, interval: str | None) -> None:
        values: dict[str, float] = {}
        for group in _groups(trainer):
            if interval is not None and group.interval not in (None, interval):
                continue
            values[group.name] = rate = float(group.values["lr"])
            self._renamed(group.name)
            self.lrs.setdefault(group.name, []).append(rate)
            if self.log_momentum:
                momentum = group.values["betas"][0] if "betas" in group.values else group.values.get("momentum", 0)
                values[f"{group.name}-momentum"] = self.last_momentum_values[f"{group.name}-momentum"] = float(momentum)
            if self.log_weight_decay:
                key = f"{group.name}-weight_decay"
                values[key] = self.last_weight_decay_values[key] = float(group.values.get("weight_decay", 0))
        if not values:
            return
        step = trainer.fit_loop.epoch_loop._batches_that_stepped
        trainer.observation.read()  # loggers get what earlier steps logged first
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})
        trainer.observation.write(values, step)
        points = tuple(Points(name, (step,), (value,)) for name, value in values.items())
        trainer.emit(MetricsLogged(time.time(), trainer.current_epoch, points))

    def _renamed(self, name: str) -> None:
        """An optimizer that got its second group: what was ``lr-SGD`` is ``lr-SGD/pg1`` from now on."""
        alone = name.removesuffix("/pg1")
        if alone != name and name not in self.lrs and alone in self.lrs:
            self.lrs[name] = self.lrs.pop(alone)


def _groups(trainer: Trainer) -> Iterator[_Group]:
    """All parameter groups, those of optimizers with a scheduler first, under names that are unique."""
    taken: Counter[str] = Counter()
    seen: set[int] = set()
    scheduled = [(config.scheduler.optimizer, config.name, config.interval) for config in trainer.lr_scheduler_configs]
    for optimizer, given, interval in (*scheduled, *((o, None, None) for o in trainer.optimizers)):
        if id(optimizer) in seen:
            continue
        seen.add(id(optimizer))
        base = given or f"lr-{type(optimizer).__name__}"
        number = taken[base]
        taken[base] += 1
        yield from _named(optimizer, base if number == 0 else f"{base}-{number}", interval)


def _named(optimizer: Optimizer, base: str, interval: str | None) -> Iterator[_Group]:
    groups = optimizer.param_groups
    given = [group["name"] for group in groups if "name" in group]
    if len(set(given)) < len(given):
        raise MisconfigurationException(
            "A single `Optimizer` cannot have multiple parameter groups with identical names: their rates couldn't be "
            "told apart",
            value=given,
        )
    for number, group in enumerate(groups, start=1):
        if "name" in group:
            name = f"{base}/{group['name']}"
        else:
            name = base if len(groups) == 1 else f"{base}/pg{number}"
        yield _Group(name, group, interval)
