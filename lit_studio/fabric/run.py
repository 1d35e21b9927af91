"""The run of a loop of one's own: where it stands, what it logs, and what a person asks of it.

It must not know the loop, models or any screen: Fabric and the wrapped objects tell it what happens, and it writes the
same record and calls the same observers as a Trainer's run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Number
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer

from lit_studio.base.errors import InvalidStateError, InvalidValueError
from lit_studio.base.events import MetricsLogged, Points, Progressed, RunEnded, RunStarted
from lit_studio.base.runs import Inbox, Mailbox, note_current
from lit_studio.base.settings import resolve
from lit_studio.loggers.folders import reserve_version, version_folder
from lit_studio.steering.boundaries import Boundaries
from lit_studio.steering.rates import LearningRates
from lit_studio.steering.requests import Requests
from lit_studio.trainer.observation import FLUSH_EVERY, Audience, directory_of, learning_rate, non_finite
from lit_studio.trainer.optimization import LRSchedulerConfig, scheduler_config
from lit_studio.trainer.results import to_host
from lit_studio.trainer.strategies import Strategy

HEADLINES = 4  # so many of the metrics, those logged first, are shown as headline numbers
FOLDER = "lightning_logs"
UNDERSTOOD = ("pause", "resume", "stop", "set_lr", "undo_lr")  # the rest only the loop could do
_Ended = Literal["finished", "stopped", "interrupted", "failed"]


@dataclass(eq=False, slots=True)
class _Series:
    """What was logged under one name: the values not read yet, their steps, and how many were read."""

    values: list[Any] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    read: int = 0


class FabricRun(Audience):
    """One Fabric's run: opened by the first value that is logged, and opened again by a value logged after its end.

    Args:
        loggers: who else gets the values; the first one's directory is the run's.
        device: the device in words.
        writes: whether this rank keeps the record.

    Attributes:
        steps: optimizer steps done, of the optimizer that has made most.
        passes, batch, batches: passes begun over the first loader that was set up, its batches done in this pass, and
            how many there are; None if it has no length.
        samples, data_wait: what that loader has given, and the seconds it was waited for.
        should_stop: whether a person, or the program, wants the loop to end.
        in_backward: whether ``fabric.backward`` runs.
        live: whether the run is open.
        optimizers, schedulers: what the learning rate is set on.
    """

    def __init__(self, loggers: list[Any], device: str, writes: bool):
        super().__init__()
        self.loggers, self._device, self._writes = loggers, device, writes
        self.steps = self.passes = self.batch = self.samples = 0
        self.batches: int | None = None
        self.data_wait = 0.0
        self.should_stop = self.in_backward = False
        self.optimizers: list[Optimizer] = []
        self.schedulers: list[LRSchedulerConfig] = []
        self._series: dict[str, _Series] = {}
        self._rows: list[tuple[int, list[tuple[str, int]]]] = []  # step, and for each name the value's place
        self._values: dict[str, float] = {}
        self._furthest = 0  # the largest step that was logged, for loops that step no optimizer of ours
        self._directory: Path | None = None
        self._requests: _FabricRequests | None = None
        self.mailbox = Mailbox()
        self.shared: _SharedRequests | None = None
        self.live = self._warned = False
        self._began = self._active = 0.0
        self._error_before = _last_error()

    def begin_on(self, strategy: Strategy) -> None:
        """This process is a rank: rank 0 keeps the record, and a person's requests reach all at the same step."""
        self._writes = strategy.is_global_zero
        if strategy.world_size > 1:
            self.shared = _SharedRequests(self)
            self.shared.strategy = strategy

    def __deepcopy__(self, memo: Any) -> FabricRun:
        return self  # a copy of a model or an optimizer is of the same run

    def at(self) -> tuple[int, int]:
        """Optimizer steps (the largest logged step if there were none), and the epoch."""
        return self.steps or self._furthest, max(0, self.passes - 1)

    def keep(self, name: str, value: Any, step: int | None) -> int:
        """Keep ``value``; see ``Fabric.log``. Returns the step that it was given."""
        series = self._series.get(name)
        if series is None:
            series = self._series[name] = _Series()
        if type(value) is Tensor and value.dim() == 0:
            # On the host reading is cheaper than keeping; elsewhere it would wait for the device.
            value = float(value.item()) if value.is_cpu else value.detach().clone()
        elif type(value) is not float:
            value = _scalar(name, value)
        if step is None:
            step = self.steps or series.read + len(series.values)
        elif step > self._furthest:
            self._furthest = step
        series.values.append(value)
        series.steps.append(step)
        return step

    def told(self, names: Iterable[str], step: int) -> None:
        """:meth:`keep` was called for ``names``, which loggers get as one row; flush if it is time.

        Without loggers it needs to be called only if the run isn't :attr:`live` or the flush is due.
        """
        if not self.live:
            self._open()
        if self.loggers:
            self._rows.append((step, [(name, len(self._series[name].values) - 1) for name in names]))
        if time.monotonic() >= self.due:
            self.flush()

    # Beginning and end ------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self.live, self._began = True, time.monotonic()
        self.due = self._began + FLUSH_EVERY
        if not self._writes:
            note_current(None, self)
            return
        continued = self._directory is not None
        if self._directory is None:
            self._directory = self._place()
        else:  # what stopped the run before doesn't stop what goes on with it
            self.should_stop = False
        run = self.gather(self._directory, (), resolve("mode").value != "off")
        for observer in self._observers:
            if hasattr(observer, "at_cell_end"):  # a notebook knows when the program's turn is over
                observer.at_cell_end = self.cell_ended
        self.mailbox.open(Inbox(run.inbox))
        if self.shared is None:
            self._requests = _FabricRequests(self)
        step, epoch = self.at()
        if continued:  # readers take a start below what was logged for a return to an earlier checkpoint
            step = max(step, self._furthest + 1)
        self.emit(RunStarted(time.time(), "train", None, -1, step, epoch, self._device, UNDERSTOOD))

    def _place(self) -> Path:
        if self.loggers:
            return directory_of(self.loggers[0], Path.cwd())
        root = Path.cwd() / FOLDER
        return version_folder(root, reserve_version(root))

    def close(self, error: BaseException | None = None) -> None:
        """Read what is left and tell everybody that the run is over; nothing if it isn't open.

        Args:
            error: what ended it early.
        """
        if not self.live:
            return
        self._read()
        self._progress()
        state: _Ended = "stopped" if self.should_stop else "finished"
        if error is not None:
            state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        words = f"{type(error).__name__}: {error}" if state == "failed" else ""
        step, epoch = self.at()
        self.emit(RunEnded(time.time(), state, "train", step, epoch, words, dict(self._values)))
        self.dismiss()
        self._active += time.monotonic() - self._began
        self.live, self._requests = False, None

    def finish(self, error: BaseException | None = None) -> None:
        """:meth:`close`, and let the loggers close too."""
        was_live = self.live
        self.close(error)
        for logger in self.loggers if was_live else ():
            self.ask(logger, logger.finalize, "success" if error is None else "failed")

    def cell_ended(self, error: BaseException | None) -> None:
        """The notebook's cell has ended: so has what it trained, until another cell logs."""
        self.close(error)

    def lapse(self) -> None:
        """Nobody can log any more: the Fabric object is gone, or the interpreter ends.

        In a script, an error that nobody caught since the run was opened is what ended it.
        """
        error = None if hasattr(sys, "ps1") else _last_error()
        self.finish(None if error is self._error_before else error)

    def stepped(self) -> None:
        """An optimizer has stepped, on all ranks."""
        if self.shared is not None and self.shared.passed():
            self._active -= self.shared.exchange()

    # The flush --------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Read what was logged, tell everyone, and carry out what a person asked for; called at a step or a log."""
        self._read()
        self._progress()
        if self._requests is not None:
            self._active -= self._requests.carry_out()
        self.due = time.monotonic() + FLUSH_EVERY

    def _read(self) -> None:
        """One copy from the device for all that came since the last time."""
        rows, self._rows = self._rows, []
        fresh = {name: series for name, series in self._series.items() if series.values}
        if not fresh:
            return
        host = iter(to_host([value for series in fresh.values() for value in series.values if type(value) is Tensor]))
        points = []
        for name, series in fresh.items():
            values = [next(host) if type(value) is Tensor else value for value in series.values]
            self._values[name] = values[-1]
            headline = len(self._values) <= HEADLINES or name in list(self._values)[:HEADLINES]
            points.append(Points(name, series.steps, values, headline))
            series.values, series.steps, series.read = [], [], series.read + len(values)
        if self._observers:
            self.emit(MetricsLogged(time.time(), self.at()[1], tuple(points)))
        self._check_finite(points)
        self._tell_loggers(rows, {one.name: one.values for one in points})

    def _check_finite(self, points: list[Points]) -> None:
        found = None if self._warned else non_finite((one.name, one.steps, one.values) for one in points)
        if found is not None:
            self._warned = True
            hint = "torch.autograd.detect_anomaly() finds the operation that made it."
            self.warn("non-finite", f"{found[0]} {hint}", step=found[1])

    def _tell_loggers(self, rows: list[tuple[int, list[tuple[str, int]]]], values: dict[str, Sequence[float]]) -> None:
        for logger in self.loggers if self._writes else ():
            for step, row in rows:
                self.ask(logger, logger.log_metrics, {name: values[name][index] for name, index in row}, step)
            self.ask(logger, logger.save)

    def _progress(self) -> None:
        if not self._observers:
            return
        step, epoch = self.at()
        self.emit(
            Progressed(
                time.time(),
                stage="train",
                step=step,
                epoch=epoch,
                batch=self.batch,
                batches=self.batches,
                samples=self.samples,
                data_wait=self.data_wait,
                active=self._active + time.monotonic() - self._began,
                learning_rate=learning_rate(self.optimizers),
            )
        )


class _FabricRequests(Requests):
    """Carries out what a person asks of a loop that isn't ours; what only the loop can do is left to it or refused."""

    def __init__(self, run: FabricRun):
        super().__init__(run, run.mailbox)
        self._run, self._rates = run, LearningRates()

    def _stop(self, arguments: dict[str, Any]) -> str:
        self._pausing, self._run.should_stop = False, True
        return "where the loop looks at fabric.should_stop"

    def _save(self, arguments: dict[str, Any]) -> str:
        raise InvalidStateError("what belongs into a checkpoint is known to the loop only, which calls fabric.save")

    def _abort(self, arguments: dict[str, Any]) -> str:
        raise InvalidStateError("a loop of one's own ends where it looks at fabric.should_stop, which Stop sets")

    def _validate(self, arguments: dict[str, Any]) -> str:
        raise InvalidStateError("how to validate is known to the loop only")

    def _set_lr(self, arguments: dict[str, Any]) -> str:
        self._need_optimizer()
        return self._warned_of_schedulers(self._rates.change(self._run.optimizers, self._run.schedulers, **arguments))

    def _undo_lr(self, arguments: dict[str, Any]) -> str:
        self._need_optimizer()
        return self._warned_of_schedulers(self._rates.undo(self._run.optimizers, self._run.schedulers))

    def _need_optimizer(self) -> None:
        if not self._run.optimizers:
            raise InvalidStateError("no optimizer was set up with fabric.setup")

    def _warned_of_schedulers(self, words: str) -> str:
        run = self._run
        known = {id(config.scheduler.optimizer) for config in run.schedulers}
        scheduled = any(
            "initial_lr" in group and id(optimizer) not in known
            for optimizer in run.optimizers
            for group in optimizer.param_groups
        )
        return f"{words}, until its scheduler sets it" if scheduled else words


class _SharedRequests(Boundaries, _FabricRequests):
    """The same on several ranks, which all make the same steps of an optimizer."""

    def wishes(self) -> list[bool]:
        """To stop."""
        return [self._run.should_stop]

    def hear(self, wishes: list[bool]) -> None:
        """``should_stop`` is the same on all ranks."""
        self._run.should_stop = wishes[0]


def known_scheduler(scheduler: Any) -> LRSchedulerConfig:
    """``scheduler`` in the form in which a changed learning rate is made to last."""
    return scheduler_config(scheduler, None)


def _scalar(name: str, value: Any) -> Any:
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.detach().clone().reshape(())
    if isinstance(value, Number) and not isinstance(value, complex):
        return float(value)  # type: ignore[arg-type]
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):  # a NumPy scalar
        return float(value.item())
    raise InvalidValueError(
        f"{name!r} can't be logged",
        value=tuple(value.shape) if isinstance(value, Tensor) else value,
        valid="a number or a tensor with one element",
        advice="Log its mean, or for a metric object what its compute() returns.",
    )


def _last_error() -> BaseException | None:
    """What the interpreter printed last because nobody caught it."""
    return getattr(sys, "last_value", None)
