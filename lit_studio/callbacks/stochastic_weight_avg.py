"""The callback that trains the last epochs at a constant rate and averages the weights they end with.

It must not know the loop's inside: it changes its schedulers and epochs through public names.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import SWALR

from lit_studio.base.errors import InvalidTypeError, MisconfigurationException
from lit_studio.callbacks.base import Callback

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.optimization import LRSchedulerConfig
    from lit_studio.trainer.trainer import Trainer

_log = logging.getLogger(__name__)
AverageFunction = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class StochasticWeightAveraging(Callback):
    """Stochastic weight averaging: from a given epoch on anneal to a constant rate, and average the weights.

    The weights that are averaged are those with which each of these epochs begins.

    At the end of training the module holds the average. A model with BatchNorm needs its statistics anew for these
    weights, so one more epoch runs, forward passes only. If the training is stopped before its last epoch, a model
    without BatchNorm gets the average so far and one with BatchNorm keeps its own weights; the same holds where
    ``max_epochs`` is −1.

    Args:
        swa_lrs: the constant rate, one for all parameter groups or one each.
        swa_epoch_start: the epoch (the first is 1) that is the first to be averaged; a float is a share of
            ``max_epochs``.
        annealing_epochs: epochs until the constant rate is reached.
        annealing_strategy: ``"cos"`` or ``"linear"``.
        avg_fn: ``avg_fn(average, weights, num_averaged)`` returns the new average of a parameter; the mean by default.
        device: where the average is kept; None keeps it beside the model.

    Raises:
        MisconfigurationException: an argument out of range; (at the start of a fit) manual optimization, several
            optimizers or schedulers, or a share of ``max_epochs`` where that is −1.
    """

    def __init__(
        self,
        swa_lrs: float | list[float],
        swa_epoch_start: int | float = 0.8,
        annealing_epochs: int = 10,
        annealing_strategy: Literal["cos", "linear"] = "cos",
        avg_fn: AverageFunction | None = None,
        device: torch.device | str | None = torch.device("cpu"),  # noqa: B008 - a device is a constant
    ):
        _check(swa_lrs, swa_epoch_start, annealing_strategy)
        if avg_fn is not None and not callable(avg_fn):
            raise InvalidTypeError("avg_fn must be callable", value=avg_fn)
        self._swa_lrs = swa_lrs
        self._swa_epoch_start = swa_epoch_start
        self._annealing_epochs = annealing_epochs
        self._annealing_strategy = annealing_strategy
        self._avg_fn = avg_fn or self.avg_fn
        self._device = device
        self._forget()

    def _forget(self) -> None:
        self._average: dict[str, torch.Tensor] = {}
        self.n_averaged = 0
        self._latest_epoch = -1
        self._scheduler: SWALR | None = None
        self._scheduler_state: dict[str, Any] | None = None
        self._max_epochs = 0
        self._has_norms = False
        self._momenta: list[tuple[_BatchNorm, float | None]] = []

    @property
    def swa_start(self) -> int:
        """The first epoch (from 0) that is averaged; meaningful once a fit has begun."""
        start = self._swa_epoch_start
        first = int(self._max_epochs * start) if isinstance(start, float) else start
        return max(first - 1, 0)

    @property
    def swa_end(self) -> float:
        """The last epoch (from 0) that is averaged."""
        return math.inf if self._max_epochs == -1 else self._max_epochs - 1

    @staticmethod
    def avg_fn(
        averaged_model_parameter: torch.Tensor, model_parameter: torch.Tensor, num_averaged: torch.Tensor
    ) -> torch.Tensor:
        """The mean of all weights so far."""
        return averaged_model_parameter + (model_parameter - averaged_model_parameter) / (num_averaged + 1)

    @staticmethod
    def pl_module_contains_batch_norm(pl_module: LightningModule) -> bool:
        """Whether the module has a BatchNorm anywhere."""
        return any(isinstance(module, _BatchNorm) for module in pl_module.modules())

    def state_dict(self) -> dict[str, Any]:
        """The average and where the procedure stands."""
        return {
            "n_averaged": self.n_averaged,
            "latest_update_epoch": self._latest_epoch,
            "scheduler_state": None if self._scheduler is None else self._scheduler.state_dict(),
            "average_model_state": self._average or None,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        self.n_averaged = state_dict["n_averaged"]
        self._latest_epoch = state_dict["latest_update_epoch"]
        self._scheduler_state = state_dict["scheduler_state"]
        self._average = dict(state_dict["average_model_state"] or {})

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget an earlier fit."""
        if stage == "fit":
            self._forget()
            if self._avg_fn is not self.avg_fn:  # one that weighs what was there before, from the first time on
                self._average = {
                    name: p.detach().to(self._device, copy=True) for name, p in pl_module.named_parameters()
                }

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that it can work; add an epoch for BatchNorm."""
        if not pl_module.automatic_optimization:
            raise MisconfigurationException("StochasticWeightAveraging needs automatic optimization")
        if len(trainer.optimizers) != 1 or len(trainer.lr_scheduler_configs) > 1:
            raise MisconfigurationException(
                "StochasticWeightAveraging works with one optimizer and at most one scheduler",
                value=f"{len(trainer.optimizers)} optimizers, {len(trainer.lr_scheduler_configs)} schedulers",
            )
        self._max_epochs = -1 if trainer.max_epochs is None else trainer.max_epochs
        if self._max_epochs == -1 and isinstance(self._swa_epoch_start, float):
            raise MisconfigurationException(
                "With `max_epochs=-1` there is no share of the epochs: SWA needs `swa_epoch_start` as an integer",
                value=self._swa_epoch_start,
            )
        self._has_norms = self.pl_module_contains_batch_norm(pl_module)
        if self._has_norms and self._max_epochs != -1:
            trainer.fit_loop.max_epochs = self._max_epochs + 1
        if self._scheduler_state is not None:
            trainer.fit_loop.use_schedulers()  # the file holds the state of ours, not of the module's own

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """On a resume inside the averaged epochs: go on at the rate that was reached."""
        if self._scheduler_state is not None:
            self._take_over(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to anneal, average the weights, or begin the epoch that is for BatchNorm."""
        epoch = trainer.current_epoch
        if self.swa_start <= epoch <= self.swa_end:
            if self._scheduler is None:
                self._take_over(trainer)
            if epoch > self._latest_epoch:
                self._update(pl_module)
                self._latest_epoch = epoch
        elif epoch == self.swa_end + 1 and self._has_norms and self.n_averaged:
            self._write(pl_module)
            self._reset_norms(pl_module)
            trainer.fit_loop.forward_only = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the average in the module and the Trainer as it was."""
        if self.n_averaged and (not self._has_norms or self._max_epochs == -1):
            self._write(pl_module)
        self._clean_up(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the Trainer as it was."""
        if self._max_epochs:
            self._clean_up(trainer)

    def _clean_up(self, trainer: Trainer) -> None:
        if self._momenta:  # the epoch for BatchNorm has begun
            trainer.fit_loop.forward_only = False
        for module, momentum in self._momenta:
            module.momentum = momentum
        self._momenta = []
        trainer.fit_loop.max_epochs = self._max_epochs

    def _take_over(self, trainer: Trainer) -> None:
        """Replace the module's scheduler by one that anneals to the constant rate."""
        optimizer = trainer.optimizers[0]
        given = self._swa_lrs
        # torch says that it takes one float, and takes a list of them too
        rates: Any = given if isinstance(given, list) else [given] * len(optimizer.param_groups)
        rates_before = [group["lr"] for group in optimizer.param_groups]
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["initial_lr"] = rate
        if trainer.lr_scheduler_configs:
            self._announce(trainer.lr_scheduler_configs[0])
        strategy: Any = self._annealing_strategy
        self._scheduler = SWALR(optimizer, rates, self._annealing_epochs, strategy)
        if self._scheduler_state is not None:
            self._scheduler.load_state_dict(self._scheduler_state)
            self._scheduler_state = None
            for group, rate in zip(optimizer.param_groups, rates_before, strict=True):
                group["lr"] = rate
        trainer.fit_loop.use_schedulers(self._scheduler)

    @staticmethod
    def _announce(replaced: LRSchedulerConfig) -> None:
        if replaced.interval != "epoch" or replaced.frequency != 1:
            warnings.warn(
                f"SWA is currently only supported every epoch; this steps otherwise: {replaced}", stacklevel=3
            )
        _log.info("Swapping scheduler `%s` for `SWALR`", type(replaced.scheduler).__name__)

    @torch.no_grad()
    def _update(self, pl_module: LightningModule) -> None:
        count = torch.tensor(self.n_averaged)
        for name, parameter in pl_module.named_parameters():
            current = parameter.detach().to(self._device or parameter.device)
            if name not in self._average:
                self._average[name] = current.clone()
            else:
                average = self._average[name].to(current.device)
                self._average[name] = self._avg_fn(average, current, count.to(current.device)).clone()
        self.n_averaged += 1

    @torch.no_grad()
    def _write(self, pl_module: LightningModule) -> None:
        for name, parameter in pl_module.named_parameters():
            parameter.copy_(self._average[name])

    def _reset_norms(self, pl_module: LightningModule) -> None:
        """Statistics from nothing, as the plain mean over the coming batches."""
        for module in pl_module.modules():
            if isinstance(module, _BatchNorm) and module.track_running_stats:
                module.reset_running_stats()
                self._momenta.append((module, module.momentum))
                module.momentum = None


def _check(swa_lrs: Any, swa_epoch_start: Any, strategy: Any) -> None:
    if isinstance(swa_epoch_start, bool) or not (
        (isinstance(swa_epoch_start, int) and swa_epoch_start >= 1)
        or (isinstance(swa_epoch_start, float) and 0 <= swa_epoch_start <= 1)
    ):
        raise MisconfigurationException(
            "swa_epoch_start should be a >0 integer or a float between 0 and 1", value=swa_epoch_start
        )
    rates = swa_lrs if isinstance(swa_lrs, list) else [swa_lrs]
    if not rates or not all(isinstance(rate, float) and rate > 0 for rate in rates):
        raise MisconfigurationException(
            "swa_lrs should be a positive float, or a list of positive floats", value=swa_lrs
        )
    if strategy not in ("cos", "linear"):
        raise MisconfigurationException("Unknown annealing_strategy", value=strategy, valid="'cos' or 'linear'")
