"""The callbacks and loggers of a Trainer: those that the user gave and those that are there by default.

It must not know what any of them does, only its kind.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lit_studio.base.errors import InvalidStateError, InvalidTypeError, MisconfigurationException
from lit_studio.base.settings import resolve
from lit_studio.callbacks import Callback, Checkpoint, ModelCheckpoint, Timer
from lit_studio.callbacks.model_summary import ModelSummary
from lit_studio.callbacks.progress import ProgressBar, RichProgressBar
from lit_studio.loggers import DummyLogger, Logger
from lit_studio.loggers.default import default_logger
from lit_studio.trainer.dispatch import overrides
from lit_studio.trainer.plan import Plan

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule


_log = logging.getLogger("lit_studio")


def resolve_loggers(logger: Any, plan: Plan) -> list[Any]:
    """The loggers that ``Trainer(logger=…)`` means; by default :func:`~lit_studio.loggers.default.default_logger`.

    Raises:
        InvalidTypeError: something that is no logger.
    """
    if plan.barebones or logger is False:
        return []
    if logger is None or logger is True:
        found: list[Any] = [default_logger(plan.default_root_dir)]
    else:
        found = list(logger) if isinstance(logger, Iterable) and not isinstance(logger, Logger) else [logger]
        for one in found:
            if not callable(getattr(one, "log_metrics", None)):
                raise InvalidTypeError("This is no logger", value=one, valid="a Logger, a list of them, or a bool")
    return [DummyLogger()] if plan.fast_dev_run and found else found


def resolve_callbacks(
    given: Any, plan: Plan, checkpointing: bool | None, progress_bar: bool | None, summary: bool | None
) -> list[Callback]:
    """The callbacks, the default ones among them, in the order in which they run: those that write checkpoints last.

    Args:
        given: one, several or None.
        plan: the Trainer's.
        checkpointing: ``enable_checkpointing``.
        progress_bar: ``enable_progress_bar``.
        summary: ``enable_model_summary``.

    Raises:
        InvalidTypeError: something that is no callback.
        MisconfigurationException: a callback of a kind that is switched off, or two progress bars.
        InvalidStateError: two that keep state have one key.
    """
    callbacks = [] if given is None else list(given) if isinstance(given, Sequence) else [given]
    for one in callbacks:
        if not isinstance(one, Callback):
            raise InvalidTypeError("This is no callback", value=one, valid="a Callback")
    _refuse(callbacks, Checkpoint, checkpointing, "enable_checkpointing")
    _refuse(callbacks, ProgressBar, progress_bar, "enable_progress_bar")
    bars = [one for one in callbacks if isinstance(one, ProgressBar)]
    if len(bars) > 1:
        raise MisconfigurationException("You added multiple progress bar callbacks to the Trainer", value=bars)
    defaults = not plan.barebones
    if progress_bar is not False and defaults and not bars and draws_in_terminal():
        callbacks.append(RichProgressBar())
    if summary is not False and defaults and not any(isinstance(one, ModelSummary) for one in callbacks):
        callbacks.append(ModelSummary())
    if plan.max_time is not None and any(isinstance(one, Timer) for one in callbacks):
        _log.info("Ignoring `Trainer(max_time=...)`, callbacks list already contains a Timer.")
    elif plan.max_time is not None:
        callbacks.append(Timer(duration=plan.max_time, interval="step"))
    if checkpointing is not False and defaults and not any(isinstance(one, Checkpoint) for one in callbacks):
        callbacks.append(ModelCheckpoint())
    check_state_keys(callbacks)
    return in_order(callbacks)


def _refuse(callbacks: list[Callback], kind: type, enabled: bool | None, switch: str) -> None:
    found = next((type(one).__name__ for one in callbacks if isinstance(one, kind)), None)
    if enabled is False and found is not None:
        raise MisconfigurationException(
            f"Trainer was configured with `{switch}=False` but found `{found}` in callbacks list",
            advice=f"Remove one of the two: the callback or `{switch}=False`.",
        )


def draws_in_terminal() -> bool:
    """Whether a bar can be drawn where the program's output goes, and the setting ``mode`` wants one."""
    return sys.stdout is not None and sys.stdout.isatty() and resolve("mode").value == "live"


def in_order(callbacks: list[Callback]) -> list[Callback]:
    """``callbacks`` with those that write checkpoints last, otherwise as they are."""
    return sorted(callbacks, key=lambda one: isinstance(one, Checkpoint))


def with_module_callbacks(callbacks: list[Callback], module: Any) -> list[Callback]:
    """``callbacks`` with those of the module's ``configure_callbacks``; one of equal type is replaced.

    Raises:
        InvalidTypeError: the hook returned something that is no callback.
    """
    own = module.configure_callbacks()
    own = list(own) if isinstance(own, Sequence) else [own]
    if not own:
        return callbacks
    for one in own:
        if not isinstance(one, Callback):
            raise InvalidTypeError("`configure_callbacks` returned something else than callbacks", value=one)
    kinds = {type(one) for one in own}
    return in_order([one for one in callbacks if type(one) not in kinds] + own)


def check_state_keys(callbacks: list[Callback]) -> None:
    """Two callbacks that keep state need different keys.

    Raises:
        InvalidStateError: two have one key.
    """
    seen: set[str] = set()
    for one in callbacks:
        if not overrides(one, "state_dict"):
            continue
        if one.state_key in seen:
            raise InvalidStateError(
                f"Found more than one stateful callback of type `{type(one).__name__}` with the same state key",
                value=one.state_key,
                advice="Override the `state_key` property of one of them, or remove it.",
            )
        seen.add(one.state_key)


def let_callbacks_log(callbacks: list[Callback], module: LightningModule) -> None:
    """Give each callback ``log`` and ``log_dict``, the module's; one that has something of that name keeps it."""
    for callback in callbacks:
        for name in ("log", "log_dict"):
            method = getattr(module, name)
            held = getattr(callback, name, None)
            if held is None or getattr(held, "__func__", None) is method.__func__:  # ours, of an earlier call
                with contextlib.suppress(AttributeError):  # a class with __slots__
                    setattr(callback, name, method)
