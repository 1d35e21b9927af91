"""The usual training step many times over: a stretch of batches between which the loop has nothing to decide.

It must not know epochs, validation or unusual steps: :mod:`loop` says where a stretch ends and what comes then.

A step of a small model takes a tenth of a millisecond and leaves nothing of the interpreter's in the processor's
caches, so that what costs a nanosecond in a benchmark of its own costs ten here. Therefore one loop over local names,
which does the same as ``FitLoop._iterate`` and ``TrainingStep.run`` where those have nothing to choose.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import Optimizer

from lit_studio.base.errors import MisconfigurationException

if TYPE_CHECKING:
    from lit_studio.trainer.loop import FitLoop
    from lit_studio.trainer.results import Scope
    from lit_studio.trainer.trainer import Trainer

LONGEST_STRIDE = 64
_NONE = object()
STRIDES = 16  # between two flushes, about
LOOK = 8  # steps after which the clock is read within a stride, for they may have become slow; a power of two


@dataclass(frozen=True, slots=True)
class UsualStep:
    """A step that is nothing but forward, backward, perhaps clipping, and one optimizer's step.

    Attributes:
        forward: ``training_step``, of a batch and its index.
        scope: where it logs.
        optimizer: what steps.
        loss_of: the loss in what ``forward`` returned, None to skip backward.
        clip: what comes between backward and the optimizer's step, None for nothing.
    """

    forward: Callable[[Any, int], Any]
    scope: Scope
    optimizer: Optimizer
    loss_of: Callable[[Any], Tensor | None]
    clip: Callable[[Optimizer], None] | None


class Stretch:
    """Runs stretches of one fit.

    A stretch is made of strides: a single step as long as steps are slow, and some where hundreds of them fit between
    two flushes. What is done once a stride is a sample then: how long the loader was waited for, the size of a batch
    where it must be counted, and the loss that is watched for trouble.

    Args:
        trainer: with hooks, metrics and observation ready.
        loop: whose position and counters are moved.

    Attributes:
        step: the step; to be set before a stretch.
    """

    def __init__(self, trainer: Trainer, loop: FitLoop):
        self._trainer, self._loop = trainer, loop
        self._on_batch_end = trainer.hooks.find("on_train_batch_end")
        self._stride, self._flushed_at, self._wait = 1, 0, 0.0
        self.step: UsualStep | None = None

    def run(self, batches: Iterator[Any], until: int, size: int | None, schedule: Callable[[], None] | None) -> bool:
        """Train on batches until ``until`` of the epoch have begun, or something asks for a decision before.

        Args:
            batches: the epoch's, on the device.
            until: none of these batches is the epoch's last or is followed by validation or the end of the fit.
            size: samples in each of them; None to count them.
            schedule: steps the schedulers that step with the optimizer, None if there are none.

        Returns:
            Whether the epoch ends here: no batch is left, or somebody wants the fit to stop.
        """
        loop, trainer, position, clock = self._loop, self._trainer, self._loop.position, time.monotonic
        most, begun = loop.max_steps, position.batches_begun
        position.is_last_batch = False
        while begun < until and not position.attention and loop.max_steps == most:
            mark = clock()
            first = next(batches, _NONE)
            if first is _NONE:
                return True
            now = clock()
            if now >= trainer.observation.due:
                self._flush()
                if trainer.stopped_by_person:
                    return True
            more = min(self._stride, until - begun) - 1
            done = self._train(chain((first,), islice(batches, more)), schedule)
            # What waited long once, such as an epoch's first batch, did not do so each time.
            wait, before, self._wait = now - mark, self._wait, now - mark
            loop.data_wait += wait + (done - 1) * min(wait, before)
            loop.samples += done * (trainer.count_samples(first) if size is None else size)
            begun += done
        return loop.conclude(last=False, stepping=True) if position.batches_done < begun else False

    def _train(self, batches: Iterator[Any], schedule: Callable[[], None] | None) -> int:
        """Train on ``batches``; how many they were. If attention is called for, the last one is not concluded."""
        assert self.step is not None
        forward, scope, optimizer = self.step.forward, self.step.scope, self.step.optimizer
        position, results, tensor = self._loop.position, self._trainer.results, Tensor
        clip, on_batch_end, loss = self.step.clip, self._on_batch_end, None
        observation, clock, mask = self._trainer.observation, time.monotonic, LOOK - 1
        start, first_step = position.batches_begun, position.stepped
        begun = start
        for batch in batches:
            position.batches_begun = begun + 1
            if batch is None:
                self._loop.pass_over(begun)
                if schedule is not None:
                    schedule()
                begun += 1
                position.batches_done = begun
                position.stepped += 1
                continue
            results.batch, results.scope = batch, scope
            try:
                # The last step's loss is let go here and not before: what it holds is used again at once.
                loss = output = forward(batch, begun)
                if type(output) is not tensor:
                    loss = self.step.loss_of(output)
                    if on_batch_end is None:
                        output = None  # it may be large
                optimizer.zero_grad()
                if loss is not None:
                    loss.backward()
                if clip is not None:
                    clip(optimizer)
                optimizer.step()
            except BaseException:
                position.failed = True
                raise
            position.optimizer_steps += 1
            if schedule is not None:
                schedule()
            if on_batch_end is not None:
                on_batch_end(detached(output), batch, begun)
                output = None
            begun += 1
            if position.attention:
                break
            position.batches_done = begun
            position.stepped += 1
            if not begun & mask and clock() >= observation.due:
                break
        if loss is not None:
            results.note_loss(loss, first_step + begun - start - 1)
        return begun - start

    def _flush(self) -> None:
        position = self._loop.position
        steps, self._flushed_at = position.optimizer_steps - self._flushed_at, position.optimizer_steps
        self._stride = min(LONGEST_STRIDE, max(1, steps // STRIDES))
        self._trainer.observation.flush(position.batches_done)


def detached(outputs: Any) -> Any:
    """What the hooks at a batch's end get: a mapping, detached, with the loss if there is one.

    Raises:
        MisconfigurationException: ``outputs`` is neither a Tensor nor a mapping nor None.
    """
    if isinstance(outputs, Tensor):
        return {"loss": outputs.detach()}
    if isinstance(outputs, Mapping):
        return {key: value.detach() if isinstance(value, Tensor) else value for key, value in outputs.items()}
    if outputs is not None:
        raise MisconfigurationException(
            "In manual optimization, `training_step` must return a Tensor or have no return; a dict will do too",
            value=outputs,
        )
    return {}
