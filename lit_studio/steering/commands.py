"""What a Trainer can be asked while it runs, and how that is done at a step boundary.

It must not know where a request comes from, nor how a loop goes round.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_studio.base.errors import InvalidStateError, StudioError
from lit_studio.base.events import CheckpointSaved
from lit_studio.base.runs import Mailbox
from lit_studio.steering.rates import LearningRates
from lit_studio.steering.requests import Requests

if TYPE_CHECKING:
    from lit_studio.trainer.trainer import Trainer


class Commands(Requests):
    """Carries out what a person asks of a Trainer.

    Args:
        trainer: whose run it is.
        mailbox: where requests arrive.
    """

    def __init__(self, trainer: Trainer, mailbox: Mailbox):
        super().__init__(trainer.observation, mailbox)
        self._trainer = trainer
        self._rates = LearningRates()

    def _stop(self, arguments: dict[str, Any]) -> str:
        trainer = self._trainer
        self._pausing = False
        detail = ""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            try:
                detail = self._save_as("stop")
            except (StudioError, OSError) as error:  # a full disk must not keep a run from being stopped
                trainer.observation.warn("checkpoint-failed", f"No checkpoint was saved at the stop: {error}")
        trainer.stop_for_person()
        return detail

    def _abort(self, arguments: dict[str, Any]) -> str:
        self._pausing = False
        self._trainer.aborted = True
        self._trainer.stop_for_person()
        return "nothing was saved" if self._trainer.state.fn == "fit" else ""

    def _save(self, arguments: dict[str, Any]) -> str:
        self._need_fit("save")
        return self._save_as("user")

    def _save_as(self, reason: str) -> str:
        trainer = self._trainer
        saver = getattr(trainer.checkpoint_callback, "save_now", None)
        if saver is not None and not trainer.fast_dev_run:
            return Path(saver(trainer, reason)).name
        step, epoch = trainer.global_step, trainer.current_epoch
        path = trainer.checkpoint_folder / f"epoch={epoch}-step={step}-{reason}.ckpt"
        trainer.save_checkpoint(path)
        trainer.emit(CheckpointSaved(time.time(), step, epoch, str(path), reason))
        return path.name

    def _validate(self, arguments: dict[str, Any]) -> str:
        self._need_fit("validate")
        trainer = self._trainer
        if not trainer.enable_validation:
            raise InvalidStateError("this fit has no validation_step, no data for it, or a limit of 0 batches")
        if trainer.validating:
            return "it was under way"
        trainer.validation_asked = True
        return ""

    def _set_lr(self, arguments: dict[str, Any]) -> str:
        self._need_fit("set_lr")
        optimization = self._trainer.fit_loop.optimization
        return self._rates.change(optimization.optimizers, optimization.schedulers, **arguments)

    def _undo_lr(self, arguments: dict[str, Any]) -> str:
        self._need_fit("undo_lr")
        optimization = self._trainer.fit_loop.optimization
        return self._rates.undo(optimization.optimizers, optimization.schedulers)

    def _need_fit(self, name: str) -> None:
        if self._trainer.state.fn != "fit":
            raise InvalidStateError(f"{name} works only while training")
