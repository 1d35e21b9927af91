"""Callbacks made of plain functions and tables: hooks from lambdas, and accumulation by epoch.

It must not know the loop.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lit_studio.base.errors import InvalidStateError, InvalidTypeError, InvalidValueError, MisconfigurationException
from lit_studio.callbacks.base import Callback

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

_NO_HOOKS = {"state_dict", "load_state_dict", "state_key"}
HOOKS = tuple(name for name in vars(Callback) if not name.startswith("_") and name not in _NO_HOOKS)
"""The names of all hooks of a callback, in the order of :class:`Callback`."""


class LambdaCallback(Callback):
    """A callback of given functions: ``LambdaCallback(on_train_start=lambda trainer, module: …)``.

    Args:
        hooks: functions by hook name; each gets the hook's arguments. None stands for no function.

    Raises:
        InvalidValueError: there is no hook of that name.
    """

    def __init__(self, **hooks: Callable[..., Any] | None):
        for name, function in hooks.items():
            if name not in HOOKS:
                raise InvalidValueError("There is no such hook", value=name, valid=f"one of {', '.join(HOOKS)}")
            if function is not None:
                setattr(self, name, function)


# For whoever asks what can be given: a command line, for instance.
_ARGUMENTS = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in HOOKS]
LambdaCallback.__signature__ = inspect.Signature(_ARGUMENTS)  # type: ignore[attr-defined]


class GradientAccumulationScheduler(Callback):
    """Changes ``accumulate_grad_batches`` at the start of given epochs.

    Args:
        scheduling: factor by epoch (from 0): ``{0: 8, 4: 4, 8: 1}``. Before the first one the factor is 1.

    Attributes:
        scheduling: the same, with an entry for epoch 0.
        epochs: its epochs in order.

    Raises:
        InvalidTypeError: ``scheduling`` is empty or no dict.
        MisconfigurationException: an epoch below 0 or a factor below 1.
        InvalidStateError: (at the start of training) manual optimization.
        InvalidValueError: (at the start of training) the Trainer has an ``accumulate_grad_batches`` of its own.
    """

    def __init__(self, scheduling: dict[int, int]):
        if not isinstance(scheduling, dict) or not scheduling:
            raise InvalidTypeError("scheduling must name at least one epoch", value=scheduling, valid="{epoch: factor}")
        for epoch, factor in scheduling.items():
            if not isinstance(epoch, int) or epoch < 0:
                raise MisconfigurationException("Epoch should be an int ≥ 0", value=epoch)
            if not isinstance(factor, int) or factor < 1:
                raise MisconfigurationException(
                    f"Accumulation factor should be an int ≥ 1; that of epoch {epoch} isn't", value=factor
                )
        self.scheduling = {0: 1, **scheduling}
        self.epochs = sorted(self.scheduling)

    def going_to_accumulate_grad_batches(self) -> bool:
        """Whether any factor is above 1."""
        return any(factor > 1 for factor in self.scheduling.values())

    def get_accumulate_grad_batches(self, epoch: int) -> int:
        """The factor in ``epoch``."""
        return self.scheduling[max(start for start in self.epochs if start <= epoch)]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse what contradicts the schedule."""
        if not pl_module.automatic_optimization:
            raise InvalidStateError(
                "Automatic gradient accumulation and the `GradientAccumulationScheduler` are not supported for manual "
                "optimization",
                advice="In manual optimization, decide in training_step when to step.",
            )
        if trainer.accumulate_grad_batches != 1:
            raise InvalidValueError(
                "You have set `accumulate_grad_batches` and are using the `GradientAccumulationScheduler` callback: "
                "they contradict each other",
                value=trainer.accumulate_grad_batches,
                valid="1 together with the scheduler",
            )
        hooks = ("optimizer_step", "optimizer_zero_grad")
        own = [name for name in hooks if getattr(type(pl_module), name) is not _default_hook(type(pl_module), name)]
        if own and self.going_to_accumulate_grad_batches():
            warnings.warn(
                f"With gradient accumulation the hooks will not be called on every batch: {', '.join(own)} run only "
                "where an optimizer steps.",
                stacklevel=2,
            )
        self.on_train_epoch_start(trainer, pl_module)  # a resume may begin inside an epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set this epoch's factor."""
        trainer.accumulate_grad_batches = self.get_accumulate_grad_batches(trainer.current_epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the Trainer as it was, so that it can fit again."""
        trainer.accumulate_grad_batches = 1


def _default_hook(cls: type, name: str) -> Any:
    """What ``cls`` got from the package's own base class."""
    return next((vars(base)[name] for base in reversed(cls.__mro__) if name in vars(base)), None)
