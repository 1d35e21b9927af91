"""SIGTERM: a call that is asked to end does so at its next step boundary, and everybody is told.

It must not know how a loop goes round: it notes the signal, and the next flush of the run's record raises.
"""

from __future__ import annotations

import functools
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from lit_studio.trainer.state import RunningStage, TrainerStatus

if TYPE_CHECKING:
    from lit_studio.trainer.trainer import Trainer

_T = TypeVar("_T")
_log = logging.getLogger("lit_studio")
STATUS = 128 + signal.SIGTERM  # what a shell says of a program that this signal ended


class SIGTERMException(SystemExit):
    """The process was asked to end by SIGTERM while a trainer ran; callbacks get it in ``on_exception``."""

    def __init__(self, *args: Any):
        super().__init__(*(args or (STATUS,)))


def ends_gracefully(carry_out: Callable[[Trainer, Any], _T]) -> Callable[[Trainer, Any], _T]:
    """Decorate what carries out a trainer's call, so that SIGTERM ends it at a step boundary.

    Only in the main thread, where Python lets handlers be set. A handler that was there before is called too, and is
    put back when the call is over. In a notebook, where the exception would end the cell and not the kernel, the
    signal is sent once more when the call has been wound up.
    """

    @functools.wraps(carry_out)
    def wrapped(trainer: Trainer, call: Any) -> _T:
        with _listening(trainer):
            result = carry_out(trainer, call)
            if trainer.received_sigterm:  # too late to interrupt anything
                raise SIGTERMException
        return result

    return wrapped


@contextmanager
def _listening(trainer: Trainer) -> Iterator[None]:
    if trainer.state.status != TrainerStatus.RUNNING:  # else a call within a call, and the signal is the outer one's
        trainer.received_sigterm = trainer.observation.leaving = False
    previous = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or previous is None:
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        _log.info("Received SIGTERM: the run ends at its next step boundary.")
        trainer.received_sigterm = trainer.observation.leaving = True
        trainer.observation.due = 0.0
        if callable(previous):
            previous(number, frame)

    signal.signal(signal.SIGTERM, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
        interactive = trainer.observation.displayed or hasattr(sys, "ps1")
        if trainer.received_sigterm and interactive and previous == signal.SIG_DFL:
            signal.raise_signal(signal.SIGTERM)


def heed(trainer: Trainer) -> None:
    """End the call here, at a step boundary, if SIGTERM has come; the hooks of an epoch that is through run first.

    Raises:
        SIGTERMException: it has come.
    """
    if not trainer.received_sigterm:
        return
    position = trainer.fit_loop.position
    training = trainer.state.stage == RunningStage.TRAINING and position.epochs_begun > position.epoch
    if training and position.is_last_batch and position.batches_done == position.batches_begun:
        trainer.observation.due = 0.0  # at the next batch; if there is none, the one after the last epoch
        return
    raise SIGTERMException
