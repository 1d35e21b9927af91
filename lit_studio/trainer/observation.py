"""The run directory, those who watch, and the flush at which everything that was logged goes out.

It must not know how a step is made or how anything is shown: it reads the results several times a second, tells
observers and loggers, and asks the inbox whether a person wants something.
"""

from __future__ import annotations

import atexit
import logging
import math
import shutil
import time
import warnings
from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from lit_studio.base import registry
from lit_studio.base.events import (
    Event,
    MetricsLogged,
    Observer,
    Points,
    Progressed,
    RunEnded,
    RunStarted,
    WarningRaised,
)
from lit_studio.base.runs import Inbox, RunDirectory, RunRecorder, temporary_run_root
from lit_studio.trainer.commands import Commands
from lit_studio.trainer.results import Read, Series

if TYPE_CHECKING:
    from lit_studio.trainer.trainer import Trainer

FLUSH_EVERY = 0.1
NEVER = float("inf")
_log = logging.getLogger("lit_studio")


class Observation:
    """Who watches a Trainer's runs. One directory serves all calls of one Trainer.

    Attributes:
        due: when the next flush is due, in ``time.monotonic``'s seconds; the loops compare it once a step.
        run: the run's directory; None without a record.
        displayed: whether an observer draws progress itself.
    """

    def __init__(self, trainer: Trainer):
        self._trainer = trainer
        self._observers: list[Observer] = []
        self.run: RunDirectory | None = None
        self.due = NEVER
        self.displayed = False
        self._temporary: Path | None = None
        self._commands: Commands | None = None
        self._began = self._paused = 0.0
        self._warned = self._logs_steps = False
        self._planned: int | None = None
        self._unsettled: dict[tuple[int, bool], dict[str, float]] = {}
        self._packages = {"torch": torch.__version__, "lit-studio": _version()}

    # Beginning and end ------------------------------------------------------------------------------------------

    def open(self, step: int, epoch: int) -> None:
        """Make or continue the run's directory and gather the observers.

        Args:
            step: ``global_step`` at the start.
            epoch: ``current_epoch`` at the start.
        """
        trainer = self._trainer
        self._began, self._paused, self._warned, self._logs_steps = time.monotonic(), 0.0, False, False
        self._planned, self._unsettled = None, {}
        self.due = self._began + FLUSH_EVERY
        if trainer.plan.barebones or not trainer.strategy.is_global_zero:
            return
        self.run = RunDirectory.create(self._directory(), self._packages)
        self._observers = [RunRecorder(self.run), *self._made(self.run), *trainer.observers]
        self.displayed = any(getattr(observer, "displays", False) for observer in self._observers)
        if self.displayed:
            if trainer.progress_bar_callback is not None:
                trainer.progress_bar_callback.disable()
        elif trainer.wants_display:
            self._add_quiet_line()
        self._commands = Commands(trainer, Inbox(self.run.inbox))
        loop = trainer.fit_loop
        fitting = trainer.state.fn == "fit"
        self.emit(
            RunStarted(
                time.time(),
                stage=trainer.stage_word,
                max_epochs=loop.max_epochs if fitting and loop.max_epochs != -1 else None,
                max_steps=loop.max_steps if fitting else -1,
                step=step,
                epoch=epoch,
                device=trainer.device_name,
            )
        )

    def close(self, state: Literal["finished", "stopped", "interrupted", "failed"], error: str = "") -> None:
        """Tell how it ended and let the observers go."""
        trainer, position = self._trainer, self._trainer.fit_loop.position
        self.emit(
            RunEnded(
                time.time(),
                state=state,
                stage=trainer.stage_word,
                step=position.optimizer_steps,
                epoch=position.epoch,
                error=error,
                metrics=dict(trainer.results.values),
            )
        )
        for observer in self._observers:
            self._guard(observer, observer.close)
        self._observers, self._commands, self.due = [], None, NEVER

    def _directory(self) -> Path:
        trainer = self._trainer
        if trainer.loggers and not trainer.fast_dev_run:
            logger = trainer.loggers[0]
            if logger.log_dir is not None:
                return Path(logger.log_dir)
            version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
            return Path(logger.save_dir or trainer.default_root_dir) / str(logger.name or "") / version
        if self._temporary is None:
            self._temporary = temporary_run_root()
            atexit.register(shutil.rmtree, self._temporary, ignore_errors=True)
        return self._temporary

    def _made(self, run: RunDirectory) -> list[Observer]:
        if not self._trainer.wants_display:
            return []
        found = []
        for name, factory in registry.load_all("observers").items():
            try:
                observer = factory(run)
            except Exception as error:  # noqa: BLE001 - a plugin must not end a run
                warnings.warn(f"The observer {name!r} could not be made and is left out: {error!r}", stacklevel=2)
                continue
            if observer is not None:
                found.append(observer)
        return found

    def _add_quiet_line(self) -> None:
        from lit_studio.trainer.display import QuietLine

        if self._trainer.progress_bar_callback is None:
            self._observers.append(QuietLine(self._trainer))

    def emit(self, event: Event) -> None:
        """Hand ``event`` to every observer; one that fails is reported and dropped."""
        for observer in tuple(self._observers):
            if not self._guard(observer, observer.observe, event):
                self._observers.remove(observer)

    def _guard(self, observer: Observer, call: Any, *args: Any) -> bool:
        try:
            call(*args)
        except Exception as error:  # noqa: BLE001 - watching must never end a run
            warnings.warn(f"The observer {type(observer).__name__} failed and is left out: {error!r}", stacklevel=3)
            return False
        return True

    # The flush --------------------------------------------------------------------------------------------------

    def flush(self, batch: int) -> None:
        """Read what was logged, tell everyone, and carry out what a person asked for.

        Args:
            batch: batches done of the current pass.
        """
        self.read()
        self._progress(batch)
        if self._commands is not None:
            self._paused += self._commands.carry_out()
        self.due = time.monotonic() + FLUSH_EVERY

    def read(self) -> None:
        """Read what was logged and tell observers and loggers; one copy from the device."""
        for reads, loss_steps, losses in self._trainer.results.take():
            if self._trainer.sanity_checking:
                continue
            self._check_finite(reads, loss_steps, losses)
            points = [
                Points(read.series.step_name, read.steps, read.values, read.series.prog_bar)
                for read in reads
                if read.series.on_step and read.series.stage == "train"
            ]
            if losses and not self._logs_steps:
                if points:
                    self._logs_steps = True
                else:  # a module that logs nothing still shows that it learns
                    points = [Points("loss", loss_steps, losses, True)]
            self._tell(points)
            if reads and self._trainer.loggers:
                self._log_steps(reads)

    def _tell(self, points: list[Points]) -> None:
        if points and self._observers:
            self.emit(MetricsLogged(time.time(), self._trainer.current_epoch, tuple(points)))

    def _log_steps(self, reads: list[Read]) -> None:
        """Give loggers the values by step: in training every ``log_every_n_steps``, else each."""
        every, settled = self._trainer.log_every_n_steps, self._trainer.fit_loop.position.settled
        rows, self._unsettled = self._unsettled, {}
        for series, steps, values in ((read.series, read.steps, read.values) for read in reads):
            if not (series.logger and series.on_step):
                continue
            training = series.stage == "train"
            pairs: Iterable[tuple[int, float]] = zip(steps, values, strict=True)
            if training and every != 1:
                pairs = ((step, value) for step, value in pairs if every and (step + 1) % every == 0)
            for step, value in pairs:
                rows.setdefault((step, training), {})[series.step_name] = value
        for (step, training), row in sorted(rows.items(), key=itemgetter(0)):
            if training and step >= settled:  # the last micro-batch's values are still to come
                self._unsettled[step, training] = row
                continue
            if training:
                row.setdefault("epoch", self._trainer.current_epoch)
            self._write_row(row, step)
        if rows:
            self._save_loggers()

    def _write_row(self, row: dict[str, float], step: int) -> None:
        trainer = self._trainer
        if "step" in row:  # a module may log its own "step" to choose the axis
            step = int(row.pop("step"))
        for logger in trainer.loggers:
            logger.log_metrics(row.copy(), step)

    def _save_loggers(self) -> None:
        for logger in self._trainer.loggers:
            logger.save()

    def log_epoch(self, stage: str, step: int) -> list[tuple[Series, float]]:
        """The epoch's values of ``stage`` go to metrics, observers and loggers; returns them.

        Args:
            stage: ``train``, ``validate`` or ``test``.
            step: at which they are logged.
        """
        self.read()
        found = self._trainer.results.note_epoch(stage)
        names = {series.epoch_name: (series, value) for series, value in found}
        self._tell([Points(name, (step,), (value,), series.prog_bar) for name, (series, value) in names.items()])
        row = {name: value for name, (series, value) in names.items() if series.logger}
        if row and self._trainer.loggers:
            row.setdefault("epoch", self._trainer.current_epoch)
            self._write_row(row, step)
            self._save_loggers()
        return found

    def _check_finite(self, reads: list[Read], loss_steps: list[int], losses: list[float]) -> None:
        if self._warned:
            return
        every = [(read.series.step_name, read.steps, read.values) for read in reads]
        for name, steps, values in [*every, ("the loss", loss_steps, losses)]:
            if all(map(math.isfinite, values)):
                continue
            index = next(i for i, value in enumerate(values) if not math.isfinite(value))
            kind = "NaN" if math.isnan(values[index]) else "infinite"
            self.warn(
                "non-finite",
                f"{name} is {kind} at step {steps[index]}. Trainer(detect_anomaly=True) finds the operation that "
                "made it.",
                step=steps[index],
            )
            self._warned = True
            return

    def warn(self, kind: str, message: str, step: int | None = None) -> None:
        """Tell observers and, by a Python warning, the person at the terminal.

        Args:
            kind: a stable slug.
            message: one or two sentences.
            step: at which it happened; now, if None.
        """
        trainer = self._trainer
        at = trainer.global_step if step is None else step
        self.emit(WarningRaised(time.time(), at, trainer.current_epoch, kind, message))
        warnings.warn(message, stacklevel=2)

    def _progress(self, batch: int) -> None:
        if not self._observers:
            return
        trainer, loop = self._trainer, self._trainer.fit_loop
        fitting = trainer.state.fn == "fit"
        batches = trainer.batches_now
        self.emit(
            Progressed(
                time.time(),
                stage=trainer.stage_word,
                step=loop.position.optimizer_steps,
                epoch=loop.position.epoch,
                batch=batch,
                batches=None if batches == NEVER else int(batches),
                planned_steps=self._plan_steps() if fitting else None,
                samples=loop.samples if fitting else 0,
                data_wait=loop.data_wait if fitting else 0.0,
                active=time.monotonic() - self._began - self._paused,
                learning_rate=_learning_rate(loop.optimization.optimizers) if fitting else None,
            )
        )

    def _plan_steps(self) -> int | None:
        if self._planned is None and self._trainer.fit_loop.loaders is not None:
            steps = self._trainer.estimated_stepping_batches
            self._planned = None if steps == NEVER else int(steps)
        return self._planned


def _learning_rate(optimizers: list[torch.optim.Optimizer]) -> float | None:
    return float(optimizers[0].param_groups[0]["lr"]) if optimizers else None


def _version() -> str:
    from lit_studio import __version__

    return __version__
