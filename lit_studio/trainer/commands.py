"""What a person asks of a running fit: pause, resume, stop, save, set the learning rate.

It must not know where a request comes from: it reads the inbox at step boundaries and answers by events.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_studio.base.errors import InvalidStateError, InvalidValueError, StudioError
from lit_studio.base.events import CheckpointSaved, CommandApplied, Paused, Resumed
from lit_studio.base.runs import Command, Inbox
from lit_studio.trainer.optimization import set_learning_rate

if TYPE_CHECKING:
    from lit_studio.trainer.observation import Audience
    from lit_studio.trainer.trainer import Trainer

POLL_EVERY = 0.02


class Requests:
    """Reads one run's inbox, pauses and resumes; whoever steers more defines a method ``_name`` for each command.

    Args:
        audience: who is told.
        inbox: where requests arrive.
    """

    def __init__(self, audience: Audience, inbox: Inbox):
        self._audience, self._inbox = audience, inbox
        self._pausing = False

    def carry_out(self) -> float:
        """Do what was asked, waiting here while the run is paused; returns the seconds of the pause."""
        commands = self._inbox.poll()
        if not commands:
            return 0.0
        self._do(commands)
        return self._wait() if self._pausing else 0.0

    def _wait(self) -> float:
        audience, began = self._audience, time.monotonic()
        audience.emit(Paused(time.time(), *audience.at()))
        while self._pausing and not audience.leaving:
            time.sleep(POLL_EVERY)
            self._do(self._inbox.poll())
        audience.emit(Resumed(time.time(), *audience.at()))
        return time.monotonic() - began

    def _do(self, commands: list[Command]) -> None:
        for command in commands:
            try:
                detail = getattr(self, f"_{command.name}")(command.arguments)
            except (StudioError, OSError) as error:
                what = error.what if isinstance(error, StudioError) else str(error)
                self._audience.warn("command-refused", f"{command.name} was refused: {what}.")
                continue
            self._audience.emit(
                CommandApplied(
                    time.time(),
                    *self._audience.at(),
                    name=command.name,
                    who=command.who,
                    detail=detail,
                    command_id=command.id,
                )
            )

    def _pause(self, arguments: dict[str, Any]) -> str:
        self._pausing = True
        return ""

    def _resume(self, arguments: dict[str, Any]) -> str:
        self._pausing = False
        return ""


class Commands(Requests):
    """Carries out what a person asks of a Trainer.

    Args:
        trainer: whose run it is.
        inbox: where requests arrive.
    """

    def __init__(self, trainer: Trainer, inbox: Inbox):
        super().__init__(trainer.observation, inbox)
        self._trainer = trainer

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

    def _set_lr(self, arguments: dict[str, Any]) -> str:
        self._need_fit("set_lr")
        group = arguments.get("group")
        if group is not None and (isinstance(group, bool) or not isinstance(group, int)):
            raise InvalidValueError("A parameter group is named by its index", value=group, valid="an int or nothing")
        optimization = self._trainer.fit_loop.optimization
        return set_learning_rate(optimization.optimizers, optimization.schedulers, arguments["value"], group)

    def _need_fit(self, name: str) -> None:
        if self._trainer.state.fn != "fit":
            raise InvalidStateError(f"{name} works only while training")
