"""What can happen in a run, as frozen facts, and the face of whoever watches.

This module must not know who emits an event or who listens. Commands ("please pause") are requests and live
in :mod:`lit_studio.base.runs.inbox`; an event says that something *has* happened. All times are seconds since
the epoch (``time.time``), all durations seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

Stage = Literal["train", "validate", "test", "predict", "sanity_check"]


@dataclass(frozen=True, slots=True)
class Event:
    """A fact, with the time at which it became true."""

    time: float


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """``fit``, ``validate``, ``test`` or ``predict`` has begun.

    Attributes:
        stage: what runs.
        max_epochs: planned epochs, None if unbounded.
        max_steps: planned optimizer steps, −1 if unbounded.
        step: ``global_step`` at the start (above 0 after a resume).
        epoch: ``current_epoch`` at the start.
        device: the device in words, for instance ``"cpu"`` or ``"NVIDIA H100"``.
        commands: names of the commands that the run can be sent.
    """

    stage: Stage
    max_epochs: int | None
    max_steps: int
    step: int = 0
    epoch: int = 0
    device: str = "cpu"
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Points:
    """New points of one metric: ``values[i]`` was logged when ``global_step`` was ``steps[i]``.

    Attributes:
        name: the metric's name as logged.
        steps: optimizer steps, not decreasing.
        values: the same number of floats; NaN and infinities are allowed.
        prog_bar: whether the user asked for it to be a headline number.
    """

    name: str
    steps: Sequence[int]
    values: Sequence[float]
    prog_bar: bool = False


@dataclass(frozen=True, slots=True)
class MetricsLogged(Event):
    """One flush of the log buffer; all points belong to one epoch."""

    epoch: int
    points: tuple[Points, ...]


@dataclass(frozen=True, slots=True)
class Progressed(Event):
    """Where the run stands, emitted with each flush (about ten times a second).

    Attributes:
        stage: what runs at this moment (``validate`` inside ``fit`` too).
        step: optimizer steps done.
        epoch: the current epoch, from 0.
        batch: batches done of the current loader pass.
        batches: batches of this pass, None if the loader has no length.
        planned_steps: optimizer steps that the whole fit will take, None if unknown.
        samples: samples seen by training so far.
        data_wait: seconds spent waiting for the loader so far.
        active: seconds since the start without pauses.
        learning_rate: the first optimizer's first group, None without an optimizer.
    """

    stage: Stage
    step: int
    epoch: int
    batch: int
    batches: int | None
    planned_steps: int | None = None
    samples: int = 0
    data_wait: float = 0.0
    active: float = 0.0
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class EpochEnded(Event):
    """A training epoch is complete (its validation too)."""

    step: int
    epoch: int


@dataclass(frozen=True, slots=True)
class CheckpointSaved(Event):
    """A checkpoint file is complete on disk.

    Attributes:
        path: the file.
        reason: ``"monitor"``, ``"interval"``, ``"last"``, ``"user"``, ``"stop"`` or ``"exception"``.
        best: whether it is the best by its monitor so far.
    """

    step: int
    epoch: int
    path: str
    reason: str
    best: bool = False


@dataclass(frozen=True, slots=True)
class CommandApplied(Event):
    """A person's request has taken effect.

    Attributes:
        name: one of :data:`lit_studio.base.runs.COMMANDS`.
        who: who asked, for instance a user name or ``"you"``.
        detail: what changed, in words, for instance ``"lr 0.001 → 0.0005"``.
        command_id: the request's id in the inbox.
    """

    step: int
    epoch: int
    name: str
    who: str
    detail: str = ""
    command_id: str = ""


@dataclass(frozen=True, slots=True)
class WarningRaised(Event):
    """Something the person should know: a NaN loss, a refused command, a stalled loader.

    Attributes:
        kind: a stable slug, for instance ``"non-finite"`` or ``"command-refused"``.
        message: one or two sentences.
    """

    step: int
    epoch: int
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Paused(Event):
    """The loop waits at a step boundary."""

    step: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """The loop goes on after a pause."""

    step: int
    epoch: int


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """``fit``, ``validate``, ``test`` or ``predict`` is over.

    Attributes:
        state: ``finished`` (ran to its end), ``stopped`` (a person or a callback ended it early and it
            returned normally), ``interrupted`` (^C) or ``failed``.
        stage: what had been running.
        error: type and message of the exception, empty otherwise.
        metrics: final metrics by name (``callback_metrics``), finite or not.
    """

    state: Literal["finished", "stopped", "interrupted", "failed"]
    stage: Stage
    step: int
    epoch: int
    error: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


@runtime_checkable
class Observer(Protocol):
    """Watches a run. It can't change the run, and an error in it never ends one: it is reported and dropped."""

    def observe(self, event: Event) -> None:
        """Take note of ``event``; called in the training thread, so return within microseconds."""

    def close(self) -> None:
        """Release what is held; called once, after the last event."""


def event_to_dict(event: Event) -> dict[str, Any]:
    """Plain JSON-able form of ``event``, with its class name under ``"event"``."""
    record: dict[str, Any] = {"event": type(event).__name__}
    for cls in reversed(type(event).__mro__):
        for name in getattr(cls, "__annotations__", {}):
            record[name] = getattr(event, name)
    return record
