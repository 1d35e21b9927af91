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
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
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
from lit_studio.base.runs import Inbox, RunDirectory, RunRecorder, note_current, temporary_run_root
from lit_studio.callbacks.base import EndOfCall
from lit_studio.steering.commands import Commands
from lit_studio.trainer.loader_facts import suggested_max_num_workers
from lit_studio.trainer.ranks import join_ranks
from lit_studio.trainer.results import Read, Series
from lit_studio.trainer.starvation import Starvation, advise
from lit_studio.trainer.termination import heed
from lit_studio.trainer.warning_kinds import PossibleUserWarning

if TYPE_CHECKING:
    from lit_studio.trainer.trainer import Trainer

FLUSH_EVERY = 0.1
SAVE_EVERY = 0.5  # seconds between two wishes that loggers bring their rows of training to disk
NEVER = float("inf")
_log = logging.getLogger("lit_studio")


class Audience:
    """Those who watch one run; made anew each time it goes on.

    Attributes:
        run: the run's directory; None without a record.
        displayed: whether an observer draws progress itself.
        due: when the next flush is due, in ``time.monotonic``'s seconds; a loop compares it once a step.
        leaving: whether the process was asked to end, so that no pause holds it.
        relay: in a process that was launched by one with a screen, makes who hands on what is to be shown.
    """

    relay: Callable[[RunDirectory], Observer] | None = None

    def __init__(self) -> None:
        self.run: RunDirectory | None = None
        self.displayed = False
        self.due = NEVER
        self.leaving = False
        self._observers: list[Observer] = []
        self._dropped: list[Observer] = []
        self._failing: set[int] = set()

    def gather(self, directory: Path, given: Iterable[Observer], wants_display: bool) -> RunDirectory:
        """Make or continue the record in ``directory`` and call together who writes and shows it.

        Args:
            directory: the run's.
            given: observers of the user's, who come last.
            wants_display: whether the factories in the registry are asked.
        """
        self.run = RunDirectory.create(directory, {"torch": torch.__version__, "lit-studio": _version()})
        note_current(self.run, self)
        relay = Audience.relay
        shown = [] if not wants_display else make_displays(self.run) if relay is None else [relay(self.run)]
        self._observers = [RunRecorder(self.run), *shown, *given]
        self._dropped = []
        self.displayed = any(getattr(observer, "displays", False) for observer in self._observers)
        return self.run

    def dismiss(self) -> None:
        """Let the observers go."""
        observers, self._observers, self.due = self._observers, [], NEVER
        failed = [(one, error) for one in observers if (error := _failure(one.close)) is not None]
        self._report(failed)

    def emit(self, event: Event) -> None:
        """Hand ``event`` to every observer; one that fails is reported and dropped."""
        failed = []
        for observer in tuple(self._observers):
            error = _failure(observer.observe, event)
            if error is not None:
                self._observers.remove(observer)
                self._dropped.append(observer)
                _failure(observer.close)  # its files are closed; what else goes wrong is no news
                failed.append((observer, error))
        if isinstance(event, RunEnded):
            for observer in self._dropped:
                if isinstance(observer, RunRecorder):  # else its status would say for ever that it runs
                    _failure(observer.end, event)
        self._report(failed)

    def _report(self, failed: list[tuple[Observer, Exception]]) -> None:
        for observer, error in failed:
            warnings.warn(f"The observer {type(observer).__name__} failed and is left out: {error!r}", stacklevel=4)

    def ask(self, logger: Any, call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call one of ``logger``'s methods; a failure must not end a run, so it is reported once and tried again."""
        try:
            call(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - a full disk, a server that is away, a mistake of the logger's
            if id(logger) not in self._failing:
                self._failing.add(id(logger))
                self.warn("logger-failed", f"{type(logger).__name__} failed, and training goes on: {error!r}")

    def at(self) -> tuple[int, int]:
        """Where the run stands: optimizer steps done, and the epoch."""
        return 0, 0

    def warn(self, kind: str, message: str, step: int | None = None, category: type[Warning] = UserWarning) -> None:
        """Tell observers and, by a Python warning, the person at the terminal.

        Args:
            kind: a stable slug.
            message: one or two sentences.
            step: at which it happened; now, if None.
            category: of the Python warning.
        """
        now, epoch = self.at()
        self.emit(WarningRaised(time.time(), now if step is None else step, epoch, kind, message))
        warnings.warn(message, category, stacklevel=2)


def _failure(call: Callable[..., Any], *args: Any) -> Exception | None:
    """What ``call`` raised: watching must never end a run."""
    try:
        call(*args)
    except Exception as error:  # noqa: BLE001 - see above
        return error
    return None


class Observation(Audience):
    """Who watches a Trainer's runs. One directory serves all calls of one Trainer.

    Attributes:
        listens: whether what a person asks for is done at each flush.
    """

    listens = True

    def __init__(self, trainer: Trainer):
        super().__init__()
        self._trainer = trainer
        self._temporary: Path | None = None
        self._commands: Commands | None = None
        self._began = self._paused = 0.0
        self._warned = self._logs_steps = False
        self._planned: int | None = None
        self._save_at = 0.0
        self._starvation: Starvation | None = None
        self._unsettled: dict[tuple[int, bool], dict[str, float]] = {}

    # Beginning and end ------------------------------------------------------------------------------------------

    def open(self, step: int, epoch: int) -> None:
        """Make or continue the run's directory and gather the observers.

        Args:
            step: ``global_step`` at the start.
            epoch: ``current_epoch`` at the start.
        """
        trainer = self._trainer
        self._began, self._paused, self._warned, self._logs_steps = time.monotonic(), 0.0, False, False
        self._planned, self._unsettled, self._failing = None, {}, set()
        self._starvation = self._commands = None
        trainer.mailbox.open(None)
        trainer.ranks = join_ranks(trainer) if trainer.world_size > 1 else None
        self.due = self._began + FLUSH_EVERY if trainer.ranks is None else -NEVER  # ranks count steps, not time
        if trainer.plan.barebones or not trainer.strategy.is_global_zero:
            note_current(None, self)
            return
        run = self.gather(self._directory(), trainer.observers, trainer.wants_display)
        if self.displayed:
            if trainer.progress_bar_callback is not None:
                trainer.progress_bar_callback.disable()
        elif trainer.wants_display:
            self._add_quiet_line()
        trainer.mailbox.open(Inbox(run.inbox))
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
                commands=trainer.understood,
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
        self._commands = None
        self.dismiss()

    def _directory(self) -> Path:
        trainer = self._trainer
        if trainer.loggers and not trainer.fast_dev_run:
            return directory_of(trainer.loggers[0], trainer.default_root_dir)
        if self._temporary is None:
            self._temporary = temporary_run_root()
            atexit.register(shutil.rmtree, self._temporary, ignore_errors=True)
        return self._temporary

    def _add_quiet_line(self) -> None:
        from lit_studio.trainer.display import QuietLine

        if self._trainer.progress_bar_callback is None:
            self._observers.append(QuietLine(self._trainer))

    # The flush --------------------------------------------------------------------------------------------------

    def flush(self, batch: int) -> None:
        """Read what was logged, tell everyone, and carry out what a person asked for.

        Args:
            batch: batches done of the current pass.
        """
        ranks = self._trainer.ranks
        if ranks is not None and not ranks.reached(batch):
            return
        self.read()
        self._progress(batch)
        for callback in self._trainer.callbacks:
            if hasattr(callback, "_on_flush"):  # a bar
                callback._on_flush(batch)
        if ranks is not None:
            self._paused += ranks.exchange()
        elif self.listens:
            self._commands = self._commands or Commands(self._trainer, self._trainer.mailbox)
            self._paused += self._commands.carry_out()
        self.due = time.monotonic() + FLUSH_EVERY if ranks is None else -NEVER
        if self.leaving:
            heed(self._trainer)
        if self._trainer.aborted:
            raise EndOfCall

    def hurry(self) -> None:
        """Let the next flush come with the next step; from any thread."""
        self.due = min(self.due, 0.0)

    def read(self) -> None:
        """Read what was logged and tell observers and loggers; one copy from the device."""
        found: list[Read] = []
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
            found += reads
        if found and self._trainer.loggers:
            self._log_steps(found)  # all at once: one step may have been read in parts

    def _tell(self, points: list[Points]) -> None:
        if points and self._observers:
            self.emit(MetricsLogged(time.time(), self._trainer.current_epoch, tuple(points)))

    def _log_steps(self, reads: list[Read]) -> None:
        """Give loggers the values by step: in training every ``log_every_n_steps``, else each."""
        every, settled = self._trainer.log_every_n_steps, self._trainer.fit_loop.position.settled
        if not self._unsettled and self._log_columns(reads, every, settled):
            return
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

    def _log_columns(self, reads: list[Read], every: int, settled: int) -> bool:
        """:meth:`_log_steps` where the same was logged at each step, as usual; whether it was so."""
        reads = [read for read in reads if read.series.logger and read.series.on_step]
        columns: dict[str, Sequence[float]] = {read.series.step_name: read.values for read in reads}
        steps = reads[0].steps if reads and len(columns) == len(reads) and "step" not in columns else None
        if not isinstance(steps, range) or steps[-1] >= settled or every < 1:
            return False
        if any(read.series.stage != "train" or read.steps != steps for read in reads):
            return False
        first = -(steps[0] + 1) % every
        steps, columns = steps[first::every], {name: values[first::every] for name, values in columns.items()}
        if not steps:
            return True
        columns.setdefault("epoch", [self._trainer.current_epoch] * len(steps))
        for logger in self._trainer.loggers:
            if hasattr(logger, "log_columns"):
                self.ask(logger, logger.log_columns, steps, columns)
                continue
            for step, *row in zip(steps, *columns.values(), strict=True):
                self.ask(logger, logger.log_metrics, metrics=dict(zip(columns, row, strict=True)), step=step)
        if (now := time.monotonic()) >= self._save_at:
            self._save_at = now + SAVE_EVERY
            self._save_loggers()
        return True

    def _write_row(self, row: dict[str, float], step: int) -> None:
        if "step" in row:  # a module may log its own "step" to choose the axis
            step = int(row.pop("step"))
        self.write(row, step)

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Give each logger ``values`` at ``step``."""
        for logger in self._trainer.loggers:
            self.ask(logger, logger.log_metrics, metrics=dict(values), step=step)

    def _save_loggers(self) -> None:
        for logger in self._trainer.loggers:
            self.ask(logger, logger.save)

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
        found = non_finite([*every, ("the loss", loss_steps, losses)])
        if found is not None:
            words, step = found
            hint = "Trainer(detect_anomaly=True) finds the operation that made it."
            self.warn("non-finite", f"{words} {hint}", step=step)
            self._warned = True

    def at(self) -> tuple[int, int]:
        """The Trainer's ``global_step`` and ``current_epoch``."""
        return self._trainer.global_step, self._trainer.current_epoch

    def _progress(self, batch: int) -> None:
        if not self._observers:
            return
        trainer, loop = self._trainer, self._trainer.fit_loop
        fitting = trainer.state.fn == "fit"
        batches, active = trainer.batches_now, time.monotonic() - self._began - self._paused
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
                active=active,
                learning_rate=learning_rate(loop.optimization.optimizers) if fitting else None,
            )
        )
        if fitting:
            self._advise(active)

    def _advise(self, active: float) -> None:
        trainer, device = self._trainer, self._trainer.strategy.root_device
        loaders, waited = trainer.fit_loop.loaders, trainer.fit_loop.data_wait
        self._starvation = self._starvation or Starvation()
        if not trainer.training or loaders is None:
            self._starvation.look_away()
            return
        share = self._starvation.look(active, waited, device)
        if share is None:
            return
        flat = getattr(loaders.flat[0], "flattened", loaders.flat)
        most = suggested_max_num_workers(getattr(trainer.strategy, "num_processes", 1))
        text = advise(flat, share, most, pins=device.type == "cuda")
        if text is not None:
            self.warn("data-starved", text, category=PossibleUserWarning)

    def _plan_steps(self) -> int | None:
        if self._planned is None and self._trainer.fit_loop.loaders is not None:
            steps = self._trainer.estimated_stepping_batches
            self._planned = None if steps in (NEVER, -1) else int(steps)
        return self._planned


def directory_of(logger: Any, root: Path | str) -> Path:
    """The run's directory where ``logger`` is the first one; ``root`` is for loggers without a place of their own."""
    if logger.log_dir is not None:
        return Path(logger.log_dir)
    version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    return Path(logger.save_dir or root) / str(logger.name or "") / version


def non_finite(series: Iterable[tuple[str, Sequence[int], Sequence[float]]]) -> tuple[str, int] | None:
    """The first value that is NaN or infinite, as a sentence and its step.

    Args:
        series: name, steps and values of each.
    """
    for name, steps, values in series:
        if math.isfinite(sum(values)):  # one that isn't would not be hidden by the others
            continue
        index = next((i for i, value in enumerate(values) if not math.isfinite(value)), None)
        if index is None:  # finite values whose sum is too large
            continue
        kind = "NaN" if math.isnan(values[index]) else "infinite"
        return f"{name} is {kind} at step {steps[index]}.", steps[index]
    return None


def make_displays(run: RunDirectory) -> list[Observer]:
    """What the factories in the registry give to show ``run``; one that fails is left out with a warning."""
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


def learning_rate(optimizers: list[torch.optim.Optimizer]) -> float | None:
    """The first optimizer's, of its first parameter group; None where there is none."""
    return float(optimizers[0].param_groups[0]["lr"]) if optimizers else None


@cache
def _version() -> str:
    return version("lit-studio")
