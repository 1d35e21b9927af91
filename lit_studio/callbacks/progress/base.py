"""What all progress bars share: which numbers to show and how far the loops are.

It must not know how anything is drawn.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lit_studio.base.errors import InvalidStateError
from lit_studio.callbacks.base import Callback

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer


class ProgressBar(Callback):
    """Base of all progress bars; subclass it and override the hooks at which something is to be drawn."""

    def __init__(self) -> None:
        self._trainer: Trainer | None = None
        self._current_eval_dataloader_idx: int | None = None

    @property
    def trainer(self) -> Trainer:
        """The trainer that runs with this bar.

        Raises:
            InvalidStateError: none has started yet.
        """
        if self._trainer is None:
            raise InvalidStateError("The progress bar is not attached to a Trainer yet")
        return self._trainer

    @property
    def sanity_check_description(self) -> str:
        """What stands before the bar of the sanity check."""
        return "Sanity Checking"

    @property
    def train_description(self) -> str:
        """What stands before the bar of training."""
        return "Training"

    @property
    def validation_description(self) -> str:
        """What stands before the bar of validation."""
        return "Validation"

    @property
    def test_description(self) -> str:
        """What stands before the bar of testing."""
        return "Testing"

    @property
    def predict_description(self) -> str:
        """What stands before the bar of prediction."""
        return "Predicting"

    @property
    def total_train_batches(self) -> int | float:
        """Batches of a training epoch, infinity where unknown."""
        return self.trainer.num_training_batches

    @property
    def total_val_batches_current_dataloader(self) -> int | float:
        """Batches of the validation loader that runs now, infinity where unknown."""
        trainer = self.trainer
        return self._of_current(trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches)

    @property
    def total_test_batches_current_dataloader(self) -> int | float:
        """Batches of the test loader that runs now, infinity where unknown."""
        return self._of_current(self.trainer.num_test_batches)

    @property
    def total_predict_batches_current_dataloader(self) -> int | float:
        """Batches of the predict loader that runs now, infinity where unknown."""
        return self._of_current(self.trainer.num_predict_batches)

    @property
    def total_val_batches(self) -> int | float:
        """Validation batches of all loaders, 0 in an epoch without validation."""
        trainer = self.trainer
        every = trainer.check_val_every_n_epoch
        if not trainer.enable_validation or (every is not None and (trainer.current_epoch + 1) % every):
            return 0
        return sum(trainer.num_val_batches)

    def _of_current(self, batches: list[int | float] | int | float) -> int | float:
        return batches[self._current_eval_dataloader_idx or 0] if isinstance(batches, list) else batches

    def has_dataloader_changed(self, dataloader_idx: int) -> bool:
        """Whether this loader is another one than at the last call; takes note of it."""
        changed = self._current_eval_dataloader_idx != dataloader_idx
        self._current_eval_dataloader_idx = dataloader_idx
        return changed

    def reset_dataloader_idx_tracker(self) -> None:
        """Forget which loader ran."""
        self._current_eval_dataloader_idx = None

    def disable(self) -> None:
        """Draw nothing from now on; a subclass must implement it."""
        raise NotImplementedError

    def enable(self) -> None:
        """Draw again; a subclass must implement it."""
        raise NotImplementedError

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print without breaking the bar."""
        print(*args, **kwargs)  # noqa: T201 - that is its job

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take note of the trainer; only rank 0 draws."""
        self._trainer = trainer
        if not trainer.is_global_zero:
            self.disable()

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """The numbers to show: the version as ``v_num``, and what was logged with ``prog_bar=True``.

        Override it to change them. It is called when the bar is drawn, not at each step.
        """
        metrics: dict[str, Any] = {}
        if trainer.loggers and (version := trainer.loggers[0].version) not in (None, ""):
            metrics["v_num"] = version[-4:] if isinstance(version, str) else version
        metrics.update(trainer.progress_bar_metrics)
        return metrics


def known_total(batches: int | float) -> int | None:
    """``batches`` as an integer, None for infinity and NaN."""
    return int(batches) if math.isfinite(batches) else None


def format_metric(value: Any, spec: str) -> str:
    """A number by ``spec`` (exponential where that would hide it), an integer or text as it is."""
    if hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, float):
        return str(value)
    text = format(value, spec)
    return f"{value:.2e}" if value and float_is_zero(text) else text


def float_is_zero(text: str) -> bool:
    """Whether a formatted number reads as zero."""
    try:
        return float(text) == 0
    except ValueError:
        return False
