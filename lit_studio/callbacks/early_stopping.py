"""The callback that ends training when a metric stops getting better.

It must not know how the metric was computed: it reads ``trainer.callback_metrics``.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch

from lit_studio.base.errors import InvalidStateError, MisconfigurationException
from lit_studio.callbacks.base import Callback, validates_once_an_epoch

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

_log = logging.getLogger(__name__)
_STOP = "Signaling Trainer to stop."


class EarlyStoppingReason(Enum):
    """Why :class:`EarlyStopping` ended the training."""

    NOT_STOPPED = 0
    STOPPING_THRESHOLD = 1
    DIVERGENCE_THRESHOLD = 2
    PATIENCE_EXHAUSTED = 3
    NON_FINITE_METRIC = 4


class EarlyStopping(Callback):
    """Stops when ``monitor`` has not got better for ``patience`` checks, or has crossed a threshold.

    Args:
        monitor: the metric's name as logged.
        min_delta: a change up to this much is not better.
        patience: so many checks without getting better end the training; counted in checks, not epochs.
        verbose: whether to log each improvement and the end.
        mode: ``"min"`` or ``"max"``: what is better.
        strict: whether a metric that is not logged is an error (else a warning, once).
        check_finite: whether NaN or infinity ends the training.
        stopping_threshold: as good as this is good enough.
        divergence_threshold: worse than this is hopeless.
        check_on_train_epoch_end: whether to check at the end of the training epoch rather than of validation; by
            default where the metrics of both are there.
        log_rank_zero_only: whether only rank 0 logs the messages of ``verbose``.

    Attributes:
        wait_count: checks since the last improvement.
        best_score: the best value so far, ±infinity before the first.
        stopped_epoch: the epoch in which it ended the training, 0 otherwise.
        stopping_reason: why, with ``stopping_reason_message`` in words.

    Raises:
        MisconfigurationException: an unknown ``mode``.
        InvalidStateError: (while training) the metric is not logged and ``strict`` holds.
    """

    mode_dict: dict[str, Callable[..., torch.Tensor]] = {"min": torch.lt, "max": torch.gt}
    order_dict = {"min": "<", "max": ">"}

    def __init__(
        self,
        monitor: str,
        min_delta: float = 0.0,
        patience: int = 3,
        verbose: bool = False,
        mode: str = "min",
        strict: bool = True,
        check_finite: bool = True,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_on_train_epoch_end: bool | None = None,
        log_rank_zero_only: bool = False,
    ):
        if mode not in self.mode_dict:
            raise MisconfigurationException(f"`mode` can be {' or '.join(self.mode_dict)}, got {mode}")
        self.monitor = monitor
        self.min_delta = abs(min_delta) if mode == "max" else -abs(min_delta)
        self.patience = patience
        self.verbose = verbose
        self.mode = mode
        self.strict = strict
        self.check_finite = check_finite
        self.stopping_threshold = stopping_threshold
        self.divergence_threshold = divergence_threshold
        self.log_rank_zero_only = log_rank_zero_only
        self._check_on_train_epoch_end = check_on_train_epoch_end
        self.wait_count = 0
        self.stopped_epoch = 0
        self.best_score = torch.tensor(torch.inf if mode == "min" else -torch.inf)
        self.stopping_reason = EarlyStoppingReason.NOT_STOPPED
        self.stopping_reason_message: str | None = None
        self._warned = False

    @property
    def monitor_op(self) -> Callable[..., torch.Tensor]:
        """The comparison that says "better"."""
        return self.mode_dict[self.mode]

    @property
    def state_key(self) -> str:
        """The class, the metric and the mode."""
        return self._generate_state_key(monitor=self.monitor, mode=self.mode)

    def state_dict(self) -> dict[str, Any]:
        """The count, the best value, the patience, and why it stopped, if it did."""
        return {
            "wait_count": self.wait_count,
            "stopped_epoch": self.stopped_epoch,
            "best_score": self.best_score,
            "patience": self.patience,
            "stopping_reason": self.stopping_reason.value,
            "stopping_reason_message": self.stopping_reason_message,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting where the checkpoint was."""
        self.wait_count = state_dict["wait_count"]
        self.stopped_epoch = state_dict["stopped_epoch"]
        self.best_score = state_dict["best_score"]
        self.patience = state_dict["patience"]
        self.stopping_reason = EarlyStoppingReason(state_dict.get("stopping_reason", 0))
        self.stopping_reason_message = state_dict.get("stopping_reason_message")

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Decide where to check, if the user didn't."""
        if self._check_on_train_epoch_end is None:
            self._check_on_train_epoch_end = validates_once_an_epoch(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check, if this is the place."""
        if self._check_on_train_epoch_end:
            self._check(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check, if this is the place."""
        if not self._check_on_train_epoch_end:
            self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or trainer.fast_dev_run:
            return
        value = trainer.callback_metrics.get(self.monitor)
        if value is None:
            self._missing(trainer)
            return
        current = torch.as_tensor(value).detach().squeeze().cpu()
        reason, message = self._judge(current)
        if trainer.strategy.reduce_boolean_decision(reason is not EarlyStoppingReason.NOT_STOPPED, all=False):
            trainer.should_stop = True
            self.stopped_epoch = trainer.current_epoch
            self.stopping_reason, self.stopping_reason_message = reason, message
        if message and self.verbose and (trainer.is_global_zero or not self.log_rank_zero_only):
            _log.info(message)

    def _missing(self, trainer: Trainer) -> None:
        message = (
            f"Early stopping conditioned on metric `{self.monitor}` which is not available; "
            f"logged were: {', '.join(trainer.callback_metrics) or 'none'}"
        )
        advice = f"Log it with self.log({self.monitor!r}, value) in the module, or pass another monitor."
        if self.strict:
            raise InvalidStateError(message, advice=advice)
        if not self._warned:
            self._warned = True
            warnings.warn(f"{message}. {advice}", stacklevel=2)

    def _judge(self, current: torch.Tensor) -> tuple[EarlyStoppingReason, str]:
        op, order, name = self.monitor_op, self.order_dict[self.mode], self.monitor
        shown = f"{float(current):.6g}"
        if self.check_finite and not torch.isfinite(current):
            best = f"Previous best value was {float(self.best_score):.6g}"
            message = f"Monitored metric {name} = {shown} is not finite. {best}. {_STOP}"
            return EarlyStoppingReason.NON_FINITE_METRIC, message
        if self.stopping_threshold is not None and op(current, self.stopping_threshold):
            message = f"Stopping threshold reached: {name} = {shown} {order} {self.stopping_threshold}. {_STOP}"
            return EarlyStoppingReason.STOPPING_THRESHOLD, message
        if self.divergence_threshold is not None and op(-current, -self.divergence_threshold):
            message = f"Divergence threshold reached: {name} = {shown}, and {self.divergence_threshold} is set. {_STOP}"
            return EarlyStoppingReason.DIVERGENCE_THRESHOLD, message
        if op(current - self.min_delta, self.best_score):
            message = f"Metric {name} improved: {shown} (before: {float(self.best_score):.6g})."
            self.best_score, self.wait_count = current, 0
            return EarlyStoppingReason.NOT_STOPPED, message
        self.wait_count += 1
        if self.wait_count < self.patience:
            return EarlyStoppingReason.NOT_STOPPED, ""
        message = (
            f"Monitored metric {name} did not improve in the last {self.wait_count} checks. "
            f"Best score: {float(self.best_score):.6g}. {_STOP}"
        )
        return EarlyStoppingReason.PATIENCE_EXHAUSTED, message
