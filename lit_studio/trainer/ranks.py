"""What the ranks of one Trainer's call settle between them: where logs lie, what was logged, when to stop.

It must not know how a loop goes round: it is told when a batch is through.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lit_studio.steering.boundaries import Boundaries
from lit_studio.steering.commands import Commands
from lit_studio.trainer.shared_metrics import SharedMetrics

if TYPE_CHECKING:
    from lit_studio.trainer.trainer import Trainer


class Ranks(Boundaries, Commands):
    """Keeps one rank of a Trainer's call in step with the others.

    Args:
        trainer: whose call it is; on several ranks.

    Attributes:
        stopping: whether all ranks know that somebody wants to stop.
    """

    def __init__(self, trainer: Trainer):
        super().__init__(trainer, trainer.mailbox)
        self.strategy = trainer.strategy
        self.stopping = False
        self._last: tuple[str, int] | None = None
        self._common = 0

    def begin_pass(self, total: float) -> None:
        """A pass over data that isn't trained on begins: ranks may have different numbers of batches there.

        Args:
            total: this rank's number of batches.
        """
        bound = int(min(total, 1 << 60))
        self._common, self._last = -self.strategy.largest([-bound])[0], None
        share: Callable[[Any], None] = getattr(self.strategy, "share_buffers", lambda _: None)
        share(self._trainer.lightning_module)

    def reached(self, batch: int) -> bool:
        """Whether this is a boundary; to be asked after each batch by all ranks alike.

        Args:
            batch: batches done of the present pass.
        """
        now = self._trainer.stage_word, batch
        if now[0] != "train" and (now == self._last or batch > self._common):
            return False
        self._last = now
        return self.passed()

    def wishes(self) -> list[bool]:
        """To stop, and to end because the process is told to."""
        return [bool(self._trainer.should_stop), bool(self._trainer.received_sigterm)]

    def hear(self, wishes: list[bool]) -> None:
        """Stop, or end, together."""
        trainer = self._trainer
        if wishes[0]:
            trainer.should_stop = self.stopping = True
        if wishes[1]:
            trainer.received_sigterm = True


def join_ranks(trainer: Trainer) -> Ranks:
    """Begin a call together with the other ranks; only where there are some."""
    trainer.results.shared = SharedMetrics(trainer.results, trainer.strategy)
    agree_on_places(trainer)
    return Ranks(trainer)


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
