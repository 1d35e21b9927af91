"""The usual training step many times over: a stretch of batches between which the loop has nothing to decide.

It must not know epochs, validation or unusual steps: :mod:`loop` says where a stretch ends and what comes then.

A step of a small model takes a tenth of a millisecond and leaves nothing of the interpreter's in the processor's
caches, so that what costs a nanosecond in a benchmark of its own costs ten here. Therefore one function, with local
names, which does the same as ``FitLoop._iterate`` and ``TrainingStep.run`` where those have nothing to choose.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import Optimizer

from lit_studio.base.errors import MisconfigurationException

if TYPE_CHECKING:
    from lit_studio.trainer.loop import FitLoop
    from lit_studio.trainer.results import Scope
    from lit_studio.trainer.trainer import Trainer

LONGEST_STRIDE = 8
STEPS_A_STRIDE = 50  # so many steps between two flushes make the stride one longer


@dataclass(frozen=True, slots=True)
class UsualStep:
    """A step that is nothing but forward, backward, perhaps clipping, and one optimizer's step.

    Attributes:
        forward: ``training_step``.
        takes_index: whether it takes ``batch_idx``.
        scope: where it logs.
        optimizer: what steps.
        loss_of: the loss in what ``forward`` returned, None to skip backward.
        note_loss: keeps a loss for whoever watches.
        clip: what comes between backward and the optimizer's step, None for nothing.
    """

    forward: Callable[..., Any]
    takes_index: bool
    scope: Scope
    optimizer: Optimizer
    loss_of: Callable[[Any], Tensor | None]
    note_loss: Callable[[Tensor], None]
    clip: Callable[[Optimizer], None] | None


class Stretch:
    """Runs stretches of one fit.

    The clock is read at every step as long as steps are slow, and only at each eighth where hundreds of them fit
    between two flushes; the seconds spent waiting for the loader, the sizes of batches that must be counted and, of
    a module that logs, the losses are samples then.

    Args:
        trainer: with hooks, metrics and observation ready.
        loop: whose position and counters are moved.
        fetch: ``next``, perhaps measured by a profiler.

    Attributes:
        step: the step; to be set before a stretch.
    """

    def __init__(self, trainer: Trainer, loop: FitLoop, fetch: Callable[[Iterator[Any]], Any]):
        self._trainer, self._loop, self._fetch = trainer, loop, fetch
        self.step: UsualStep | None = None
        self._on_batch_end = trainer.hooks.find("on_train_batch_end")
        self._stride, self._flushed_at = 1, 0

    def run(
        self,
        batches: Iterator[Any],
        until: float,
        batch_size: int | None,
        schedule: Callable[[], None] | None,
    ) -> bool:
        """Train on batches until ``until`` of the epoch have begun, or something asks for a decision before.

        Args:
            batches: the epoch's, on the device.
            until: none of these batches is the epoch's last or is followed by validation.
            batch_size: samples in each of them; None to count them.
            schedule: steps the schedulers that step with the optimizer, None if there are none.

        Returns:
            Whether the epoch ends here: no batch is left, or somebody wants the fit to stop.
        """
        assert self.step is not None
        loop, step, fetch, clock = self._loop, self.step, self._fetch, time.monotonic
        trainer, position, on_batch_end = self._trainer, loop.position, self._on_batch_end
        results, observation, scope = trainer.results, trainer.observation, step.scope
        forward, takes_index, optimizer, clip = step.forward, step.takes_index, step.optimizer, step.clip
        begun = beat = counted = position.batches_begun
        size, tensor = batch_size or 0, Tensor
        position.is_last_batch = False
        try:
            while begun < until:
                try:
                    if begun < beat:
                        batch = fetch(batches)
                    else:
                        mark = clock()
                        batch = fetch(batches)
                        now = clock()
                        loop.data_wait += (now - mark) * self._stride
                        loop.samples, counted = loop.samples + (begun - counted) * size, begun
                        if now >= observation.due:
                            self._flush()
                            if trainer.stopped_by_person:
                                return True
                        beat = begun + self._stride
                        if batch_size is None:
                            size = trainer.count_samples(batch)
                except StopIteration:
                    return True
                position.batches_begun = begun + 1
                results.batch, results.scope = batch, scope
                # The last step's loss is let go here and not before: what it holds is used again at once.
                loss = output = forward(batch, begun) if takes_index else forward(batch)
                begun += 1
                if type(output) is not tensor:
                    loss = step.loss_of(output)
                if loss is not None and (begun == beat or results.wants_losses):
                    step.note_loss(loss)
                optimizer.zero_grad()
                if loss is not None:
                    loss.backward()
                if clip is not None:
                    clip(optimizer)
                optimizer.step()
                steps = position.optimizer_steps = position.optimizer_steps + 1
                if schedule is not None:
                    schedule()
                if on_batch_end is not None:
                    on_batch_end(detached(output), batch, begun - 1)
                if output is not loss:
                    output = None  # it may be large
                if trainer.should_stop or 0 <= loop.max_steps <= steps or trainer.accumulate_grad_batches != 1:
                    return loop.conclude(last=False, stepping=True)
                position.batches_done = begun
                position.stepped += 1
            return False
        finally:
            loop.samples += (begun - counted) * size

    def _flush(self) -> None:
        position = self._loop.position
        steps, self._flushed_at = position.optimizer_steps - self._flushed_at, position.optimizer_steps
        self._stride = min(LONGEST_STRIDE, max(1, steps // STEPS_A_STRIDE))
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
