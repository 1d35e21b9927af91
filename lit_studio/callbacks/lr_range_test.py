"""The learning-rate range test: a few steps at rising rates, and which rate makes the loss fall fastest.

It must not know the loop's inside: it steers a rehearsal through the Trainer's public names.
"""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from lit_studio.base.errors import MisconfigurationException, MissingAttributeError
from lit_studio.callbacks.attributes import lightning_getattr, lightning_hasattr, lightning_setattr
from lit_studio.callbacks.base import Callback
from lit_studio.callbacks.lr_curve import curve_html, plot_curve
from lit_studio.callbacks.progress.meter import Meter

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

ATTRIBUTES = ("lr", "learning_rate")
_SMOOTHING = 0.98
_NEVER = 1 << 62
_log = logging.getLogger("lit_studio")


class RangeTest:
    """What a learning-rate range test found.

    Args:
        mode: ``"exponential"`` or ``"linear"``, how rates rose.
        lr_min, lr_max: the first and the last rate that were planned.
        num_training: the number of steps that was planned.

    Attributes:
        results: ``"lr"`` and ``"loss"``: the rate of each step and the smoothed loss after it, as floats; NaN for a
            step without a loss.
    """

    def __init__(self, mode: str, lr_min: float, lr_max: float, num_training: int):
        self.mode, self.lr_min, self.lr_max, self.num_training = mode, lr_min, lr_max, num_training
        self.results: dict[str, list[float]] = {"lr": [], "loss": []}
        self._optimal_idx: int | None = None

    def rate(self, step: int) -> float:
        """The rate of the step with this number, from 0."""
        if step == 0:
            return self.lr_min
        share = (step + 1) / self.num_training
        if self.mode == "linear":
            return self.lr_min + share * (self.lr_max - self.lr_min)
        return float(self.lr_min * (self.lr_max / self.lr_min) ** share)

    def suggestion(self, skip_begin: int = 10, skip_end: int = 1) -> float | None:
        """The rate at which the smoothed loss falls most steeply.

        Args:
            skip_begin: steps to leave out at the beginning, where the smoothing has seen little.
            skip_end: steps to leave out at the end, where the loss may have begun to rise.

        Returns:
            The rate; None, with an error in the log, where fewer than two losses are left.
        """
        rates, losses = self.results["lr"], self.results["loss"]
        usable = [i for i in range(skip_begin, len(losses) - skip_end) if math.isfinite(losses[i])]
        if len(usable) < 2:
            self._optimal_idx = None
            _log.error(
                "Failed to compute suggestion for learning rate because there are not enough points: %d losses, of "
                "which the first %d and the last %d are left out. Train more steps (`num_training`, `max_epochs`, a "
                "larger dataset), or skip fewer.",
                len(losses),
                skip_begin,
                skip_end,
            )
            return None
        spacing = torch.tensor([rates[i] for i in usable])
        slopes = torch.gradient(torch.tensor([losses[i] for i in usable]), spacing=[spacing])[0]
        self._optimal_idx = usable[int(torch.argmin(slopes))]
        return rates[self._optimal_idx]

    def plot(self, suggest: bool = False, show: bool = False, ax: Any = None) -> Any:
        """The loss over the learning rate, drawn by matplotlib.

        Args:
            suggest: mark the suggestion with a red point.
            show: call ``matplotlib.pyplot.show()``.
            ax: the axes to draw into; None makes a figure.

        Returns:
            The figure.

        Raises:
            MissingDependencyError: matplotlib is not installed; it comes with ``lit-studio[plot]``.
        """
        if suggest:
            self.suggestion()
        marked = self._optimal_idx if suggest else None
        return plot_curve(self.results["lr"], self.results["loss"], marked, self.mode == "exponential", show, ax)

    def _repr_html_(self) -> str:
        suggested, self._optimal_idx = self._optimal_idx, None
        if len(self.results["loss"]) > 12:  # enough for ``suggestion`` not to complain
            self.suggestion()
        marked, self._optimal_idx = self._optimal_idx, suggested
        return curve_html(self.results["lr"], self.results["loss"], marked, self.mode == "exponential")


def find_learning_rate(
    trainer: Trainer,
    module: LightningModule,
    test: RangeTest,
    early_stop_threshold: float | None,
    update_attr: bool,
    attr_name: str,
) -> RangeTest | None:
    """Carry ``test`` out inside a hook of a fit; afterwards only the learning rate has changed.

    Args:
        trainer: with optimizers, before an epoch's first step.
        module: the one that trains.
        test: to be filled.
        early_stop_threshold: end once the smoothed loss is so many times the lowest; None never does.
        update_attr: whether to set the module's rate, and the optimizer's, to the suggestion.
        attr_name: the attribute's name; empty looks for the usual ones.

    Returns:
        The filled ``test``; None under ``fast_dev_run``.

    Raises:
        MissingAttributeError: there is no such attribute to set.
        MisconfigurationException: not exactly one optimizer.
    """
    if trainer.fast_dev_run:
        warnings.warn("Skipping learning rate finder since `fast_dev_run` is enabled.", stacklevel=3)
        return None
    if update_attr:
        attr_name = _attribute(module, attr_name)
    if len(trainer.optimizers) != 1:
        raise MisconfigurationException(
            f"`model.configure_optimizers()` returned {len(trainer.optimizers)}, but learning rate finder only works "
            "with single optimizer",
            value=[type(optimizer).__name__ for optimizer in trainer.optimizers],
        )
    recorder = _Recorder(test, early_stop_threshold, trainer.wants_display)
    with trainer.rehearsal([recorder]) as rehearsal:
        loop, optimization = trainer.fit_loop, trainer.fit_loop.optimization
        # Seen by whoever asks for them, and never due.
        optimization.schedulers = [replace(config, frequency=_NEVER) for config in optimization.schedulers]
        loop.max_steps = trainer.global_step + test.num_training
        loop.min_steps, loop.min_epochs = None, 0
        if trainer.limit_val_batches:  # else there is no validation
            trainer.limit_val_batches = test.num_training
        try:
            rehearsal.run()
        finally:
            recorder.meter.close()
    if trainer.world_size > 1:
        test.results = trainer.strategy.broadcast(test.results)
    _explain_end(trainer, test, recorder.diverged)
    if update_attr and (rate := test.suggestion()) is not None:
        before = lightning_getattr(module, attr_name)
        lightning_setattr(module, attr_name, rate)
        _adopt(trainer, before, rate)
        _log.info("Learning rate set to %s", rate)
    return test


class _Recorder(Callback):
    """Sets each step's rate and keeps its loss."""

    def __init__(self, test: RangeTest, threshold: float | None, shown: bool):
        self._test, self._threshold = test, threshold
        self._average = self._lowest = 0.0
        self._begun_at: int | None = None
        self.meter = Meter("Finding best initial lr", test.num_training, shown)
        self.diverged = False

    def _steps(self, trainer: Trainer) -> int:
        if self._begun_at is None:
            self._begun_at = trainer.global_step
        return trainer.global_step - self._begun_at

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the rate; note it for the last micro-batch of a step."""
        rate = self._test.rate(self._steps(trainer))
        for group in trainer.optimizers[0].param_groups:
            _set(group, "lr", rate)
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self._test.results["lr"].append(rate)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the loss; stop where it runs away."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        losses = self._test.results["loss"]
        if not outputs:
            losses.append(math.nan)  # its rate was noted
            return
        self.meter.advance()
        loss = outputs["loss"] if not isinstance(outputs, torch.Tensor) else outputs
        step = self._steps(trainer)
        self._average = _SMOOTHING * self._average + (1 - _SMOOTHING) * float(loss)
        smoothed = self._average / (1 - _SMOOTHING ** (step + 1))
        if self._threshold is not None and step > 1 and smoothed > self._threshold * self._lowest:
            self.diverged = True
        if trainer.world_size > 1:  # each rank has a loss of its own
            self.diverged = trainer.strategy.broadcast(self.diverged)
        trainer.should_stop = trainer.should_stop or self.diverged
        if step == 1 or smoothed < self._lowest:
            self._lowest = smoothed
        losses.append(smoothed)


def _attribute(module: LightningModule, given: str) -> str:
    """The name of the attribute that holds the learning rate."""
    if given:
        if not lightning_hasattr(module, given):
            raise MissingAttributeError(
                f"The attribute name for the learning rate was set to {given}, but it could not be found as a field in "
                "`model` or `model.hparams`"
            )
        return given
    for name in ATTRIBUTES:
        if lightning_hasattr(module, name):
            return name
    raise MissingAttributeError(
        "When using the learning rate finder, either `model` or `model.hparams` should have one of these fields: "
        f"{ATTRIBUTES}",
        advice="If your learning rate has another name, say it: `.lr_find(attr_name=...)`.",
    )


def _explain_end(trainer: Trainer, test: RangeTest, diverged: bool) -> None:
    tried = len(test.results["lr"])
    if diverged:
        _log.info("LR finder stopped early after %d steps due to diverging loss.", tried)
    elif tried < test.num_training:
        _log.info(
            "LR finder stopped early after %d of %d steps, because the fit is so short (max_epochs=%s); the highest "
            "learning rates were not tried.",
            tried,
            test.num_training,
            trainer.max_epochs,
        )


def _adopt(trainer: Trainer, before: Any, rate: float) -> None:
    """Let optimizer and schedulers go on as if they had been made with ``rate`` instead of ``before``.

    Where they were evidently not made with ``before``, the optimizer's rates become ``rate``.
    """
    optimizer = trainer.optimizers[0]
    keys = ("lr", "initial_lr", "max_lr", "min_lr")  # the last two are what one-cycle and cyclic schedules go between
    usable = isinstance(before, int | float) and before > 0
    made_with = usable and any(group.get(key) == before for group in optimizer.param_groups for key in keys)
    scheduled = bool(trainer.lr_scheduler_configs)

    def changed(old: Any) -> float:
        if not (made_with and scheduled) or old == before:
            return rate
        return float(old) * (rate / before)

    for group in optimizer.param_groups:
        for key in keys if scheduled else keys[:1]:
            if key in group:
                _set(group, key, changed(group[key]))
    for config in trainer.lr_scheduler_configs:
        _rebase(config.scheduler, optimizer, changed)


def _rebase(scheduler: Any, optimizer: Optimizer, changed: Any) -> None:
    for inner in getattr(scheduler, "_schedulers", ()):  # SequentialLR, ChainedScheduler
        _rebase(inner, optimizer, changed)
    if getattr(scheduler, "optimizer", None) is not optimizer:
        return
    for name in ("base_lrs", "max_lrs", "_last_lr"):
        rates = getattr(scheduler, name, None)
        if isinstance(rates, list):
            rates[:] = [changed(old) for old in rates]


def _set(group: dict[str, Any], key: str, value: float) -> None:
    if isinstance(group[key], torch.Tensor):
        group[key].fill_(value)
    else:
        group[key] = value
