"""What the ranks of one Trainer's call settle between them: who prepares data, where logs lie, when to stop.

It must not know how a loop goes round. Ranks take the same number of training steps, so a *boundary* is a step that all
of them come to; between two boundaries, about a tenth of a second, they say nothing to each other but gradients.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lit_studio.base.events import Paused, Resumed
from lit_studio.trainer.commands import POLL_EVERY, Commands
from lit_studio.trainer.dispatch import overrides

if TYPE_CHECKING:
    from lit_studio.base.runs import Command, Inbox
    from lit_studio.trainer.trainer import Trainer

SECONDS_APART = 0.1  # of boundaries
FARTHEST = 2048  # steps between two boundaries at most
GROWTH = 4  # the distance grows by so much at most, for the first steps are the slowest


class Ranks(Commands):
    """Keeps one rank in step with the others.

    At a boundary one small exchange on the host tells all ranks how far the next boundary is (as rank 0 has measured),
    whether any of them wants to stop, and whether a person has asked rank 0 for something; if so, the request follows,
    and all of them carry it out.

    Args:
        trainer: whose call it is; on several ranks.

    Attributes:
        inbox: where a person's requests arrive; on rank 0 only, and not without a record.
        stopping: whether all ranks know that somebody wants to stop.
    """

    def __init__(self, trainer: Trainer):
        super().__init__(trainer, None)  # type: ignore[arg-type]  # see ``_ask``
        self.inbox: Inbox | None = None
        self.stopping = False
        self._strategy: Any = trainer.strategy
        self._distance, self._left, self._since = 1, 1, time.monotonic()
        self._last: tuple[str, int] | None = None
        self._common: float = 0

    def begin_pass(self, total: float) -> None:
        """A pass over data that isn't trained on begins: ranks may have different numbers of batches there.

        Args:
            total: this rank's number of batches.
        """
        bound = int(min(total, 1 << 60))
        self._common, self._last = -self._strategy.largest([-bound])[0], None

    def reached(self, batch: int) -> bool:
        """Whether this is a boundary; to be asked after each batch by all ranks alike.

        Args:
            batch: batches done of the present pass.
        """
        stage = self._trainer.stage_word
        now = (stage, batch)
        if (now == self._last and stage != "train") or (stage != "train" and batch > self._common):
            return False
        self._last = now
        self._left -= 1
        return self._left <= 0

    def exchange(self) -> float:
        """At a boundary: tell and hear; returns the seconds of a pause."""
        trainer, commands = self._trainer, self._poll()
        wishes = [bool(trainer.should_stop), bool(trainer.received_sigterm), len(commands), self._pace()]
        stop, leave, asked, self._distance = self._strategy.largest(list(map(int, wishes)))
        self._take(bool(stop), bool(leave))
        paused = 0.0
        if asked:
            self._do(self._strategy.broadcast(commands))
            paused = self._wait() if self._pausing else 0.0
        self._left, self._since = self._distance, time.monotonic()
        return paused

    def settle(self) -> None:
        """Where all ranks are: let each know whether another wants to stop."""
        trainer = self._trainer
        stop, leave = self._strategy.largest([int(bool(trainer.should_stop)), int(bool(trainer.received_sigterm))])
        self._take(bool(stop), bool(leave))

    def _take(self, stop: bool, leave: bool) -> None:
        trainer = self._trainer
        if stop:
            trainer.should_stop = self.stopping = True
        if leave:
            trainer.received_sigterm = True

    def _pace(self) -> int:
        """On rank 0: how many steps make up the time between two boundaries."""
        if not self._trainer.is_global_zero:
            return 0
        elapsed = max(time.monotonic() - self._since, 1e-6)
        return max(1, min(FARTHEST, GROWTH * self._distance, round(self._distance * SECONDS_APART / elapsed)))

    def _poll(self) -> list[Command]:
        return self.inbox.poll() if self.inbox is not None else []

    def _wait(self) -> float:
        audience, began = self._audience, time.monotonic()
        audience.emit(Paused(time.time(), *audience.at()))
        while self._pausing:
            commands: list[Command] = []
            while self._trainer.is_global_zero and not commands and not self._trainer.received_sigterm:
                time.sleep(POLL_EVERY)
                commands = self._poll()
            found, leave = self._strategy.broadcast((commands, self._trainer.received_sigterm))
            self._take(False, leave)
            self._do(found)
            if leave:
                break
        audience.emit(Resumed(time.time(), *audience.at()))
        return time.monotonic() - began


def join_ranks(trainer: Trainer) -> Ranks | None:
    """Begin a call together with the other ranks; None where there are none."""
    if trainer.world_size == 1:
        return None
    from lit_studio.trainer.shared_metrics import SharedMetrics

    trainer.results.shared = SharedMetrics(trainer.results, trainer.strategy)
    agree_on_places(trainer)
    return Ranks(trainer)


def prepare_data(trainer: Trainer) -> None:
    """Call ``prepare_data`` of datamodule and module once on each node, or once in all; the other ranks wait."""
    wait: Callable[[], None] = getattr(trainer.strategy, "patient_barrier", lambda: None)
    for owner in (trainer.datamodule, trainer.lightning_module):
        if owner is None or not overrides(owner, "prepare_data"):
            continue
        local = getattr(owner, "prepare_data_per_node", True)
        first = trainer.local_rank == 0 if local else trainer.is_global_zero
        try:
            if first:
                owner.prepare_data()
        finally:
            if trainer.world_size > 1:
                wait()


def agree_on_places(trainer: Trainer) -> None:
    """Let each rank's loggers have rank 0's version, so that all of them mean the same folder."""
    versions = [_version(logger) for logger in trainer.loggers] if trainer.is_global_zero else None
    for logger, version in zip(trainer.loggers, trainer.strategy.broadcast(versions), strict=False):
        if not trainer.is_global_zero and hasattr(logger, "_version"):
            logger._version = version


def _version(logger: Any) -> Any:
    version = None
    with suppress(Exception):  # a logger whose service is away; the run goes on without
        version = logger.version
    return version if isinstance(version, int | str) else None
