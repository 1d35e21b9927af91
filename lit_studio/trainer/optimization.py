"""Optimizers and schedulers: the forms in which they are given, their steps, and the clipping of gradients.

It must not know loaders, epochs or metrics: the loop says when, and hands in the monitored value.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lit_studio.base.errors import InvalidStateError, InvalidTypeError, InvalidValueError, MisconfigurationException
from lit_studio.trainer.dispatch import overrides

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.state import Position
    from lit_studio.trainer.trainer import Trainer

CLIPPING = ("norm", "value")
INTERVALS = ("step", "epoch")
_CONFIG_KEYS = {"scheduler", "interval", "frequency", "reduce_on_plateau", "monitor", "strict", "name"}


@dataclass
class LRSchedulerConfig:
    """A scheduler and when it steps.

    Attributes:
        scheduler: the scheduler.
        name: under which LearningRateMonitor logs it; None for the optimizer's.
        interval: ``"epoch"`` or ``"step"``.
        frequency: every so many intervals.
        reduce_on_plateau: whether it takes a metric.
        monitor: the metric it takes.
        strict: whether a missing metric is an error rather than a warning.
    """

    scheduler: Any
    name: str | None = None
    interval: str = "epoch"
    frequency: int = 1
    reduce_on_plateau: bool = False
    monitor: str | None = None
    strict: bool = True


class LightningOptimizer:
    """What ``self.optimizers()`` gives for manual optimization: the optimizer, whose steps the trainer sees.

    ``step`` runs ``on_before_optimizer_step``, the precision's part and the count of ``global_step``; all else is the
    optimizer's own, and ``isinstance`` says so.
    """

    def __init__(self, optimizer: Optimizer, trainer: Trainer):
        self._optimizer, self._trainer = optimizer, trainer

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer itself."""
        return self._optimizer

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._optimizer)

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """Step the optimizer; ``closure`` recomputes the loss, for optimizers that want it."""
        return self._trainer.fit_loop.step_optimizer(self._optimizer, closure, kwargs)

    @contextmanager
    def toggle_model(self, sync_grad: bool = True) -> Iterator[None]:
        """Only this optimizer's parameters require gradients inside; ``sync_grad`` is for several ranks."""
        module = self._trainer.lightning_module
        module.toggle_optimizer(self)
        try:
            yield
        finally:
            module.untoggle_optimizer(self)

    def __getattr__(self, name: str) -> Any:
        if "_optimizer" not in self.__dict__:  # while it is being copied
            raise AttributeError(name)
        return getattr(self._optimizer, name)

    def __reduce__(self) -> tuple[Any, ...]:
        # By hand, because what ``__class__`` says is the optimizer's.
        return object.__new__, (LightningOptimizer,), {"_optimizer": self._optimizer, "_trainer": self._trainer}

    def __repr__(self) -> str:
        return f"Lightning{self._optimizer!r}"


class Optimization:
    """The optimizers and schedulers of one fit.

    Attributes:
        optimizers: as the module gave them.
        schedulers: with their settings.
    """

    def __init__(self) -> None:
        self.optimizers: list[Optimizer] = []
        self.schedulers: list[LRSchedulerConfig] = []
        self._wrapped: list[LightningOptimizer] = []

    def configure(self, module: LightningModule, trainer: Trainer) -> None:
        """Ask ``module`` for its optimizers and schedulers.

        Raises:
            MisconfigurationException: a form that isn't known, a scheduler without what it needs, or several
                optimizers with automatic optimization.
        """
        answer = module.configure_optimizers()
        if answer is None:
            warnings.warn(
                "`LightningModule.configure_optimizers` returned `None`, this fit will run with no optimizer",
                stacklevel=2,
            )
        self.optimizers, schedulers, monitor = take_apart(answer)
        if not module.automatic_optimization:
            _warn_of_ignored(schedulers)
        self.schedulers = [scheduler_config(item, monitor) for item in schedulers]
        for config in self.schedulers:
            self._check(config, module)
        if module.automatic_optimization and len(self.optimizers) > 1:
            raise InvalidStateError(
                "Training with multiple optimizers is only supported with manual optimization",
                value=[type(optimizer).__name__ for optimizer in self.optimizers],
                advice="Set `self.automatic_optimization = False`, then step each optimizer in `training_step`.",
            )
        self.wrap(trainer)

    def wrap(self, trainer: Trainer) -> None:
        """Make the faces that manual optimization sees."""
        self._wrapped = [LightningOptimizer(optimizer, trainer) for optimizer in self.optimizers]

    def faces(self, wrapped: bool = True) -> Any:
        """What ``self.optimizers()`` returns: one, or a list of several."""
        found: list[Any] = list(self._wrapped if wrapped else self.optimizers)
        return found[0] if len(found) == 1 else found

    def _check(self, config: LRSchedulerConfig, module: LightningModule) -> None:
        scheduler = config.scheduler
        if not module.automatic_optimization:
            return  # whoever steps it knows how
        known = isinstance(scheduler, LRScheduler | ReduceLROnPlateau)
        if not known and not overrides(module, "lr_scheduler_step"):
            raise MisconfigurationException(
                f"The provided lr scheduler `{type(scheduler).__name__}` doesn't follow PyTorch's LRScheduler API",
                advice="Override the `LightningModule.lr_scheduler_step` hook to step it.",
            )
        if known and all(scheduler.optimizer is not optimizer for optimizer in self.optimizers):
            raise MisconfigurationException(
                "Some schedulers are attached with an optimizer that wasn't returned from `configure_optimizers`",
                value=type(scheduler).__name__,
            )
        if config.reduce_on_plateau and config.monitor is None:
            raise MisconfigurationException(
                "`configure_optimizers` must include a monitor when a `ReduceLROnPlateau` scheduler is used",
                advice='For example: {"optimizer": optimizer, "lr_scheduler": scheduler, "monitor": "metric_to_track"}',
            )


def take_apart(answer: Any) -> tuple[list[Optimizer], list[Any], str | None]:
    """Optimizers, schedulers and the plateau's metric, from any form that ``configure_optimizers`` may return.

    The forms: None; an optimizer; a dict with ``optimizer`` and perhaps ``lr_scheduler`` and ``monitor``; a sequence of
    optimizers; a pair of lists (optimizers, schedulers); a sequence of such dicts.

    Raises:
        MisconfigurationException: any other form.
    """
    if answer is None:
        return [], [], None
    if _is_optimizer(answer):
        return [answer], [], None
    if isinstance(answer, Mapping):
        return _from_dict(answer)
    if isinstance(answer, Sequence):
        items = list(answer)
        if len(items) == 2 and isinstance(items[0], list) and all(map(_is_optimizer, items[0])):
            schedulers = list(items[1]) if isinstance(items[1], list) else [items[1]]
            return list(items[0]), schedulers, None
        if items and all(isinstance(item, Mapping) for item in items):
            parts = [_from_dict(item) for item in items]
            schedulers = [_with_monitor(s, monitor) for _, found, monitor in parts for s in found]
            return [optimizer for found, _, _ in parts for optimizer in found], schedulers, None
        if all(map(_is_optimizer, items)):
            return items, [], None
    raise MisconfigurationException(
        "Unknown configuration for model optimizers",
        value=answer,
        valid="an optimizer, a list of them, a pair ([optimizers], [schedulers]), or dicts with 'optimizer' and "
        "'lr_scheduler'",
    )


def _warn_of_ignored(schedulers: list[Any]) -> None:
    """In manual optimization nothing steps a scheduler but ``training_step``."""
    ignored = {"monitor", "frequency", "reduce_on_plateau", "strict"}
    told = {key for item in schedulers if isinstance(item, Mapping) for key in item} & ignored
    if told:
        warnings.warn(
            f"The lr scheduler dict contains the key(s) {sorted(told)}, but the keys will be ignored: call "
            "`lr_scheduler.step()` yourself in manual optimization.",
            RuntimeWarning,
            stacklevel=4,
        )


def _is_optimizer(item: Any) -> bool:
    return isinstance(item, Optimizer)


def _from_dict(answer: Mapping[str, Any]) -> tuple[list[Optimizer], list[Any], str | None]:
    extra = set(answer) - {"optimizer", "lr_scheduler", "monitor"}
    if extra:
        warnings.warn(f"Found unsupported keys in the optimizer configuration: {sorted(extra)}", stacklevel=3)
    if not _is_optimizer(answer.get("optimizer")):
        raise MisconfigurationException(
            "A dict from `configure_optimizers` must have an optimizer under the key 'optimizer'", value=dict(answer)
        )
    scheduler = answer.get("lr_scheduler")
    return [answer["optimizer"]], [] if scheduler is None else [scheduler], answer.get("monitor")


def _with_monitor(scheduler: Any, monitor: str | None) -> Any:
    if isinstance(scheduler, Mapping):
        return {"monitor": monitor, **scheduler}
    return {"scheduler": scheduler, "monitor": monitor}


def scheduler_config(item: Any, monitor: str | None) -> LRSchedulerConfig:
    """The settings in a scheduler or in a dict that holds one.

    Raises:
        MisconfigurationException: a dict without a scheduler, an interval that isn't known, no positive frequency.
    """
    if isinstance(item, LRSchedulerConfig):
        return item
    given = dict(item) if isinstance(item, Mapping) else {"scheduler": item}
    if given.get("scheduler") is None:
        raise MisconfigurationException(
            'The lr scheduler dict must have the key "scheduler" with its item', value=given
        )
    if extra := set(given) - _CONFIG_KEYS:
        warnings.warn(f"Found unsupported keys in the lr scheduler dict: {extra}", RuntimeWarning, stacklevel=3)
    if given.get("interval", "epoch") not in INTERVALS:
        raise MisconfigurationException(
            'The "interval" key in lr scheduler dict must be "step" or "epoch"', value=given["interval"]
        )
    frequency = given.get("frequency", 1)
    if isinstance(frequency, bool) or not isinstance(frequency, int) or frequency < 1:
        raise MisconfigurationException('The "frequency" key in lr scheduler dict must be an int ≥ 1', value=frequency)
    given.setdefault("reduce_on_plateau", isinstance(given["scheduler"], ReduceLROnPlateau))
    if given.get("monitor") is None:
        given["monitor"] = monitor
    return LRSchedulerConfig(**{key: value for key, value in given.items() if key in _CONFIG_KEYS})


# Clipping -------------------------------------------------------------------------------------------------------


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """All parameters that ``optimizer`` changes."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def clip(optimizer: Optimizer, value: float | None, algorithm: str | None) -> None:
    """Clip the gradients of ``optimizer``'s parameters in place; nothing where ``value`` is None or not positive.

    Args:
        optimizer: whose parameters.
        value: the largest total norm, or the largest absolute value.
        algorithm: ``"norm"`` (default) or ``"value"``.
    """
    if value is None or value <= 0:
        return
    if algorithm == "value":
        held = [parameter for parameter in parameters_of(optimizer) if parameter.grad is not None]
        if held:  # torch fails on none at all, as after a step without a loss
            torch.nn.utils.clip_grad_value_(held, value)
    else:
        torch.nn.utils.clip_grad_norm_(parameters_of(optimizer), value)


def grad_norm(module: torch.nn.Module, norm_type: float | str, group_separator: str = "/") -> dict[str, Tensor]:
    """The norms of the gradients of ``module``'s parameters, and of all of them together.

    Args:
        module: whose.
        norm_type: p of the p-norm, > 0; ``"inf"`` for the largest absolute value.
        group_separator: between the prefix and the parameter's name.

    Raises:
        InvalidValueError: ``norm_type`` is not positive.
    """
    order = float(norm_type)
    if order <= 0:
        raise InvalidValueError("`norm_type` must be positive", value=norm_type, valid="> 0 or 'inf'")
    prefix = f"grad_{order}_norm"
    norms = {
        f"{prefix}{group_separator}{name}": parameter.grad.detach().norm(order)
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }
    if norms:
        norms[f"{prefix}_total"] = torch.stack(list(norms.values())).norm(order)
    return norms


def check_clipping(value: Any, algorithm: Any) -> None:
    """Check the two arguments of clipping.

    Raises:
        InvalidTypeError: ``value`` is no number.
        MisconfigurationException: ``algorithm`` is neither ``"norm"`` nor ``"value"``.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InvalidTypeError("`gradient_clip_val` should be an int or a float", value=value)
    if algorithm is not None and str(algorithm).lower() not in CLIPPING:
        raise MisconfigurationException(f"`gradient_clip_algorithm` {algorithm} is invalid", valid="'norm' or 'value'")


class Schedulers:
    """A fit's schedulers by when they step; empty where nothing is due.

    Args:
        trainer: with module and metrics.
        optimization: the fit's optimizers and schedulers.
        position: moved by each scheduler step.
    """

    def __init__(self, trainer: Trainer, optimization: Optimization, position: Position):
        self._trainer, self._position = trainer, position
        self._step = trainer.profiled("lr_scheduler_step", trainer.lightning_module.lr_scheduler_step)
        configs = optimization.schedulers if trainer.lightning_module.automatic_optimization else []
        self.by_step = [c for c in configs if c.interval == "step" and not c.reduce_on_plateau]
        self.by_epoch = [c for c in configs if c.interval == "epoch" and not c.reduce_on_plateau]
        self.plateau_by_step = [c for c in configs if c.interval == "step" and c.reduce_on_plateau]
        self.plateau_by_epoch = [c for c in configs if c.interval == "epoch" and c.reduce_on_plateau]

    def step(self, configs: list[LRSchedulerConfig]) -> None:
        """Step those of ``configs`` whose frequency is met."""
        position = self._position
        for config in configs:
            done = position.batches_begun if config.interval == "step" else position.epoch + 1
            if done % config.frequency:
                continue
            metric = None
            if config.reduce_on_plateau:
                metric = self._monitored(config)
                if metric is None:
                    continue
            self._step(config.scheduler, metric)
            position.scheduler_steps += 1

    def _monitored(self, config: LRSchedulerConfig) -> Any:
        metrics = self._trainer.callback_metrics
        if config.monitor in metrics:
            return metrics[config.monitor]
        message = f"ReduceLROnPlateau conditioned on metric {config.monitor} which is not available"
        if config.strict:
            raise MisconfigurationException(
                f"{message}. Available metrics are: {sorted(metrics)}",
                advice="Condition can be set using `monitor` key in lr scheduler dict.",
            )
        warnings.warn(f"{message} but strict is set to `False`: this update is skipped.", RuntimeWarning, stacklevel=2)
        return None
