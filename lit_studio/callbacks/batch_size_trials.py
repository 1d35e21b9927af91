"""Trials of batch sizes: the largest one whose steps fit into memory.

It must not know the loop's inside: it steers a rehearsal through the Trainer's public names.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lit_studio.callbacks.attributes import lightning_getattr, lightning_setattr
from lit_studio.callbacks.device_memory import garbage_collection_cuda, is_oom_error

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

_log = logging.getLogger("lit_studio")


@dataclass(frozen=True)
class Search:
    """How to look for the largest batch size.

    Attributes:
        mode: ``"power"`` doubles until a size fails; ``"binsearch"`` then halves the gap to it again and again.
        steps_per_trial: steps of each trial.
        init_val: the first size.
        max_trials: trials at most, with ``"binsearch"`` those that succeed.
        margin: the share that is taken off what ``"binsearch"`` finds.
        max_val: no larger size is tried.
    """

    mode: str
    steps_per_trial: int
    init_val: int
    max_trials: int
    margin: float
    max_val: int

    def find(self, first: int, largest_useful: int | None, fits: Callable[[int], bool]) -> int:
        """The largest size that fits.

        Args:
            first: the size to begin with.
            largest_useful: the number of samples, None where unknown; a batch that holds them all ends the search.
            fits: tries a size; raises if one sample is already too much.
        """
        size, best, worst, trials = min(first, self.max_val), 0, 0, 0
        while trials < self.max_trials:
            if fits(size):
                best, trials = size, trials + 1
                after = self._larger(size, worst, largest_useful)
            else:
                worst, trials = size, trials + (self.mode == "power")
                after = self._smaller(size, best)
            if after is None:
                break
            if trials < self.max_trials:
                outcome = "succeeded" if best == size else "failed"
                _log.info("Batch size %d %s, trying batch size %d", size, outcome, after)
            size = after
        return best or size

    def with_margin(self, size: int) -> int:
        """``size`` less the margin, where there is one."""
        if self.mode != "binsearch" or not self.margin:
            return size
        reduced = max(1, int(size * (1 - self.margin)))
        if reduced != size:
            _log.info("Applying margin of %.1f%%, reducing batch size from %d to %d", 100 * self.margin, size, reduced)
        return reduced

    def _larger(self, size: int, worst: int, largest_useful: int | None) -> int | None:
        if largest_useful is not None and size >= largest_useful:
            _log.info(
                "The batch size %d is greater or equal than the length of your dataset: %d.", size, largest_useful
            )
            return None
        if size >= self.max_val:
            _log.info("Reached the maximum batch size limit of %d. Stopping search.", self.max_val)
            return None
        if worst and self.mode == "power":
            return None
        if worst:
            return (size + worst) // 2 if worst - size > 1 else None
        if 2 * size > self.max_val:
            _log.info("Batch size %d exceeds max_val limit %d, capping at %d", 2 * size, self.max_val, self.max_val)
        return min(2 * size, self.max_val)

    def _smaller(self, size: int, best: int) -> int | None:
        if self.mode == "power":
            return None if best else size // 2
        return (size + max(best, 1)) // 2 if size - best > 1 else None


def find_batch_size(trainer: Trainer, module: LightningModule, search: Search, name: str) -> int | None:
    """Try batch sizes inside a hook of a call; afterwards only the batch size has changed.

    Args:
        trainer: before the first step of a pass.
        module: the one that runs.
        search: how to look.
        name: the attribute that the loaders' hooks read.

    Returns:
        The size, also set on module and datamodule; None under ``fast_dev_run``.

    Raises:
        RuntimeError: memory is exhausted with a batch of 1 too, or a step failed for another reason.
    """
    if trainer.fast_dev_run:
        warnings.warn("Skipping batch size scaler since `fast_dev_run` is enabled.", stacklevel=3)
        return None
    before = lightning_getattr(module, name)
    with trainer.rehearsal() as rehearsal:
        _limit(trainer, search.steps_per_trial)
        rehearsal.loop.setup_data()
        samples = _samples(rehearsal.loop)
        first = before if samples is not None and before >= samples else search.init_val

        def fits(size: int) -> bool:
            lightning_setattr(module, name, size)
            if trainer.strategy.root_device.type != "cpu":
                garbage_collection_cuda()  # what the last trial left might be what makes this one fail
            try:
                rehearsal.reload()
                rehearsal.run()
            except (RuntimeError, MemoryError) as error:
                if not is_oom_error(error):
                    raise
                if size <= 1:
                    error.add_note("Memory is exhausted with a batch size of 1 too.")
                    raise
                return False
            return True

        try:
            found = search.with_margin(search.find(first, samples, fits))
        except BaseException:
            lightning_setattr(module, name, before)
            raise
        lightning_setattr(module, name, found)
    garbage_collection_cuda()
    _log.info("Finished batch size finder, will continue with full run using batch size %d", found)
    return found


def _limit(trainer: Trainer, steps: int) -> None:
    if trainer.state.fn == "fit":
        trainer.limit_train_batches = 1.0
        if trainer.limit_val_batches:  # else there is no validation
            trainer.limit_val_batches = steps
        trainer.fit_loop.max_steps = trainer.global_step + steps
        return
    assert trainer.state.stage is not None
    setattr(trainer, f"limit_{trainer.state.stage.dataloader_prefix}_batches", steps)


def _samples(loop: Any) -> int | None:
    """The number of samples in the loop's dataset; None where it has no length."""
    loader = loop.loaders.flat[0]
    lengths = []
    for part in getattr(loader, "flattened", [loader]):
        try:
            lengths.append(len(part.dataset))
        except (AttributeError, TypeError, NotImplementedError):
            continue
    if not lengths:
        return None
    return min(lengths) if getattr(loader, "mode", "") == "min_size" else max(lengths)
