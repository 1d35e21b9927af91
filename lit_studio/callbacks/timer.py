"""The callback that measures a run's stages and ends training when its time is up.

It must not know of pauses or schedules: it reads a monotonic clock.
"""

from __future__ import annotations

import logging
import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lit_studio.base.errors import InvalidValueError, MisconfigurationException
from lit_studio.callbacks.base import Callback

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

_log = logging.getLogger(__name__)
_STAGES = ("train", "validate", "test")
_DURATION = re.compile(r"(\d+):(\d\d):(\d\d):(\d\d)")


class Timer(Callback):
    """Measures training, validation and testing; ends training after ``duration``.

    Args:
        duration: ``"DD:HH:MM:SS"``, a ``timedelta``, or its arguments as a dict (``{"hours": 2}``); None only measures.
        interval: ``"step"`` or ``"epoch"``: how often to look at the clock. A batch is always finished.
        verbose: whether to log that the time is up.

    Raises:
        MisconfigurationException: ``duration`` is no duration, or an unknown ``interval``.
    """

    def __init__(
        self,
        duration: str | timedelta | dict[str, int] | None = None,
        interval: str = "step",
        verbose: bool = True,
    ):
        if interval not in ("step", "epoch"):
            raise MisconfigurationException(
                "Unsupported parameter value of Timer: interval", value=interval, valid="'step' or 'epoch'"
            )
        self._duration = None if duration is None else _seconds(duration)
        self._interval = str(interval)
        self._verbose = verbose
        self._start: dict[str, float] = {}
        self._end: dict[str, float] = {}
        self._offset = 0.0

    def start_time(self, stage: str = "train") -> float | None:
        """When the stage began, on ``time.monotonic``'s clock; None before."""
        return self._start.get(_stage(stage))

    def end_time(self, stage: str = "train") -> float | None:
        """When the stage ended, on ``time.monotonic``'s clock; None before."""
        return self._end.get(_stage(stage))

    def time_elapsed(self, stage: str = "train") -> float:
        """Seconds spent in the stage so far, for training those before the checkpoint included."""
        start, end = self.start_time(stage), self.end_time(stage)
        offset = self._offset if _stage(stage) == "train" else 0.0
        if start is None:
            return offset
        return (time.monotonic() if end is None else end) - start + offset

    def time_remaining(self, stage: str = "train") -> float | None:
        """Seconds that are left of ``duration``; None without one."""
        return None if self._duration is None else self._duration - self.time_elapsed(stage)

    def state_dict(self) -> dict[str, Any]:
        """The seconds spent in each stage."""
        return {"time_elapsed": {stage: self.time_elapsed(stage) for stage in _STAGES}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Count on from the checkpoint's training time."""
        self._offset = state_dict.get("time_elapsed", {}).get("train", 0.0)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A checkpoint may say that the time is up already."""
        self._start.pop("train", None)
        self._look(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._begin("train")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._end["train"] = time.monotonic()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._begin("validate")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._end["validate"] = time.monotonic()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._begin("test")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._end["test"] = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the clock, with ``interval="step"``."""
        if self._interval == "step" and self._duration is not None:
            self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the clock, with ``interval="epoch"``."""
        if self._interval == "epoch" and self._duration is not None:
            self._look(trainer)

    def _begin(self, stage: str) -> None:
        self._start[stage] = time.monotonic()
        self._end.pop(stage, None)

    def _look(self, trainer: Trainer) -> None:
        left = self.time_remaining()
        if left is None or left > 0 or trainer.should_stop:
            return
        trainer.should_stop = True
        if self._verbose:
            _log.info(
                "Time limit reached. Elapsed time is %s. Signaling Trainer to stop.",
                timedelta(seconds=int(self.time_elapsed())),
            )


def _stage(stage: str) -> str:
    if stage not in _STAGES:
        raise InvalidValueError("The timer doesn't measure this stage", value=stage, valid=", ".join(_STAGES))
    return _STAGES[_STAGES.index(stage)]  # a member of an enumeration equals its text, but hashes otherwise


def _seconds(duration: str | timedelta | dict[str, int]) -> float:
    try:
        if isinstance(duration, str):
            match = _DURATION.fullmatch(duration.strip())
            days, hours, minutes, seconds = map(int, match.groups()) if match else (None,) * 4
            duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)  # type: ignore[arg-type]
        elif isinstance(duration, dict):
            duration = timedelta(**duration)
        return duration.total_seconds()
    except (TypeError, AttributeError):
        raise MisconfigurationException(
            "Timer(duration=…) takes a time of the format DD:HH:MM:SS, a timedelta, or a dict such as {'hours': 2}",
            value=duration,
        ) from None
