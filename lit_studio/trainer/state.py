"""Where a trainer stands: what it does, at which stage, and the counters that a checkpoint carries.

It must not know how anything is done: the loops move these values and everyone reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class TrainerFn(StrEnum):
    """The call that is being carried out."""

    FITTING = "fit"
    VALIDATING = "validate"
    TESTING = "test"
    PREDICTING = "predict"


class RunningStage(StrEnum):
    """What runs at this moment; inside a fit also ``validate`` and ``sanity_check``."""

    TRAINING = "train"
    SANITY_CHECKING = "sanity_check"
    VALIDATING = "validate"
    TESTING = "test"
    PREDICTING = "predict"

    @property
    def evaluating(self) -> bool:
        """Whether it is a validation or a test."""
        return self in (RunningStage.VALIDATING, RunningStage.TESTING, RunningStage.SANITY_CHECKING)

    @property
    def dataloader_prefix(self) -> str | None:
        """The stage's word in ``train_dataloader``, ``limit_val_batches`` and the like."""
        return {"train": "train", "predict": "predict", "test": "test"}.get(self.value, "val")


class TrainerStatus(StrEnum):
    """How far the call has come."""

    INITIALIZING = "initializing"
    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"

    @property
    def stopped(self) -> bool:
        """Whether it is over."""
        return self in (TrainerStatus.FINISHED, TrainerStatus.INTERRUPTED)


@dataclass
class TrainerState:
    """The call, its status and its stage.

    Attributes:
        status: how far the call has come.
        fn: the call, None before the first.
        stage: what runs at this moment, None outside a call.
    """

    status: TrainerStatus = TrainerStatus.INITIALIZING
    fn: TrainerFn | None = None
    stage: RunningStage | None = None

    @property
    def finished(self) -> bool:
        """Whether the last call ran to its end."""
        return self.status == TrainerStatus.FINISHED

    @property
    def stopped(self) -> bool:
        """Whether the last call is over."""
        return self.status.stopped


ALL = 1 << 62


@dataclass(slots=True)
class Position:
    """Where a fit stands. "Begun" and "done" differ only while something is under way.

    Attributes:
        epoch: epochs completed; this is ``current_epoch``.
        epochs_begun: one more than ``epoch`` while an epoch is under way.
        epoch_processed: its batches and validations are through and its end hooks run.
        batches_begun, batches_done: of the current epoch.
        earlier_batches: of all epochs before the current one.
        is_last_batch: whether the batch is the epoch's last.
        failed: whether the step of the batch that has begun raised an error, so that it is still to be trained on.
        stepped: batches after which the optimizers stepped, less one inside a step's own hooks: the step at which
            a value is logged.
        settled: under accumulation, steps whose last micro-batch is through, so that loggers can be given their
            values.
        optimizer_steps: optimizer steps; this is ``global_step``.
        scheduler_steps: scheduler updates.
        epoch_optimizer_steps, epoch_scheduler_steps: their values when the epoch began.
        attention: whether something was set on the trainer that the loop must look at before its next step.
    """

    epoch: int = 0
    epochs_begun: int = 0
    epoch_processed: bool = False
    batches_begun: int = 0
    batches_done: int = 0
    earlier_batches: int = 0
    is_last_batch: bool = False
    failed: bool = False
    stepped: int = 0
    settled: int = ALL
    optimizer_steps: int = 0
    scheduler_steps: int = 0
    epoch_optimizer_steps: int = 0
    epoch_scheduler_steps: int = 0
    attention: bool = False

    def to_loops(self, automatic: bool) -> dict[str, Any]:
        """The ``loops`` entry of a checkpoint, in the layout that Lightning reads.

        Args:
            automatic: whether the loop steps the optimizers; the steps are kept in another place if not.
        """
        epochs = _counts(self.epochs_begun, self.epoch + self.epoch_processed, self.epoch)
        before = self.earlier_batches
        begun = before + self.batches_begun
        total = _counts(begun, begun - self.failed, before + self.batches_done)
        current = _counts(self.batches_begun, self.batches_begun - self.failed, self.batches_done)
        steps = (self.optimizer_steps, self.optimizer_steps - self.epoch_optimizer_steps)
        schedulers = (self.scheduler_steps, self.scheduler_steps - self.epoch_scheduler_steps)
        auto, manual = (steps, (0, 0)) if automatic else ((0, 0), steps)
        fit = {
            "state_dict": {},
            "epoch_loop.state_dict": {"_batches_that_stepped": self.stepped},
            "epoch_loop.batch_progress": {
                "total": total,
                "current": current,
                "is_last_batch": self.is_last_batch and not self.failed,
            },
            "epoch_loop.scheduler_progress": _pair(schedulers),
            "epoch_loop.automatic_optimization.state_dict": {},
            "epoch_loop.automatic_optimization.optim_progress": {
                "optimizer": {"step": _pair(auto), "zero_grad": _pair(auto, started=True)}
            },
            "epoch_loop.manual_optimization.state_dict": {},
            "epoch_loop.manual_optimization.optim_step_progress": _pair((manual[0], manual[0])),
            "epoch_loop.val_loop.state_dict": {},
            "epoch_loop.val_loop.batch_progress": _untouched(True),
            "epoch_progress": {"total": dict(epochs), "current": epochs},
        }
        others = {
            f"{name}_loop": {"state_dict": {}, "batch_progress": _untouched(True)} for name in ("validate", "test")
        }
        return {"fit_loop": fit, **others, "predict_loop": {"state_dict": {}, "batch_progress": _untouched(False)}}

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any]) -> Position:
        """Where the fit that wrote ``checkpoint`` stood, as far as the file says."""
        fit = checkpoint.get("loops", {}).get("fit_loop", {})
        step, epoch = int(checkpoint.get("global_step", 0)), int(checkpoint.get("epoch", 0))
        epochs = fit.get("epoch_progress", {}).get("current", {})
        batches = fit.get("epoch_loop.batch_progress", {})
        current, total = batches.get("current", {}), batches.get("total", {})
        done = epochs.get("completed", epoch)
        begun_epochs = epochs.get("ready", done)
        # In a hook of the batch's own end the batch is begun and processed, and not yet noted as completed.
        begun = current.get("processed", 0)
        return cls(
            epoch=done,
            epochs_begun=begun_epochs,
            # An epoch that a bound cut short had its end hooks too; it goes on where it was cut.
            epoch_processed=epochs.get("processed", done) > done and bool(batches.get("is_last_batch", True)),
            batches_begun=begun,
            batches_done=begun,
            earlier_batches=total.get("processed", begun) - begun,
            is_last_batch=bool(batches.get("is_last_batch", False)),
            stepped=_stepped(fit, step, inside=begun > 0 and epochs.get("processed", done) == done < begun_epochs),
            optimizer_steps=step,
            scheduler_steps=fit.get("epoch_loop.scheduler_progress", {}).get("total", {}).get("completed", 0),
        )

    def take(self, other: Position) -> None:
        """Become equal to ``other``."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))

    def retry(self) -> None:
        """A batch whose step failed is the next one again."""
        if self.failed:
            self.batches_begun -= 1
            self.failed = self.is_last_batch = False

    def complete_epoch(self) -> None:
        """Note that the epoch, its end hooks included, is over."""
        self.epoch += 1
        self.epochs_begun = self.epoch
        self.epoch_processed = False


def _stepped(fit: Mapping[str, Any], step: int, inside: bool) -> int:
    manual = fit.get("epoch_loop.manual_optimization.optim_step_progress", {}).get("total", {}).get("completed", 0)
    if not manual:
        return step
    saved = int(fit.get("epoch_loop.state_dict", {}).get("_batches_that_stepped", 0))
    return saved + 1 if inside else saved  # inside an epoch the batch that has just ended is not counted yet


def _counts(ready: int, processed: int, completed: int) -> dict[str, int]:
    return {"ready": ready, "completed": completed, "started": ready, "processed": processed}


def _pair(counts: tuple[int, int], started: bool = False) -> dict[str, dict[str, int]]:
    total, current = ({"ready": n, "completed": n, **({"started": n} if started else {})} for n in counts)
    return {"total": total, "current": current}


def _untouched(with_last: bool) -> dict[str, Any]:
    progress: dict[str, Any] = {"total": _counts(0, 0, 0), "current": _counts(0, 0, 0)}
    return {**progress, "is_last_batch": False} if with_last else progress
