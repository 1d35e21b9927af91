"""Where a run stands: the states, which may follow which, and whether its process still lives.

It must not know who writes the status file or who shows it.
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from lit_studio.base.errors import InvalidStateError, RunRecordError
from lit_studio.base.processes import process_alive

ACTIVE = ("running", "paused")
FOLLOWS = {
    "created": ("running", "failed"),
    "running": ("paused", "finished", "stopped", "interrupted", "failed"),
    "paused": ("running", "finished", "stopped", "interrupted", "failed"),
    "finished": ("running",),
    "stopped": ("running",),
    "interrupted": ("running",),
    "failed": ("running",),
}
"""The status machine. ``lost`` is never written: a reader derives it for an active run without a process."""

# A run on another machine (a shared disk) can't be asked for its process: silence this long counts as lost.
SILENT_AFTER = 600.0


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The content of ``status.json``. Times are seconds since the epoch, durations seconds.

    Attributes:
        state: one of :data:`FOLLOWS`, or ``lost`` as derived by :func:`read_status`.
        stage: ``train``, ``validate``, ``test``, ``predict`` or ``sanity_check``.
        step: optimizer steps done; ``planned_steps`` is None where unknown.
        batch: batches done of the current pass of ``batches``.
        rate: optimizer steps (batches outside training) a second over the last seconds; 0 when unknown.
        samples_per_second: training samples a second over the same time.
        eta: seconds to the end of the fit, None while unknown.
        data_wait: share of the active time spent waiting for the loader, 0 to 1.
        active: seconds since the start without pauses.
        headline: last values of the metrics logged with ``prog_bar=True``; NaN and infinities as strings.
        metrics: last values of all metrics, in the same form.
        error: type and message if it failed.
        commands: names of the commands that the run can be sent while it is active.
    """

    state: str = "created"
    stage: str = "train"
    step: int = 0
    planned_steps: int | None = None
    epoch: int = 0
    max_epochs: int | None = None
    batch: int = 0
    batches: int | None = None
    rate: float = 0.0
    samples_per_second: float = 0.0
    eta: float | None = None
    data_wait: float = 0.0
    active: float = 0.0
    learning_rate: float | None = None
    device: str = ""
    started: float = 0.0
    updated: float = 0.0
    headline: dict[str, float | str] = field(default_factory=dict)
    metrics: dict[str, float | str] = field(default_factory=dict)
    error: str = ""
    commands: tuple[str, ...] | list[str] = ()

    def follow(self, state: str, **changes: Any) -> RunStatus:
        """This status in the next ``state``.

        Raises:
            InvalidStateError: ``state`` may not follow the current one.
        """
        if state != self.state and state not in FOLLOWS.get(self.state, ()):
            raise InvalidStateError(
                f"A run can't go from {self.state!r} to {state!r}",
                valid=", ".join(FOLLOWS.get(self.state, ())) or "nothing",
            )
        return replace(self, state=state, **changes)

    @property
    def is_active(self) -> bool:
        """Whether the run is running or paused."""
        return self.state in ACTIVE

    def to_json(self) -> dict[str, Any]:
        """Plain form, as written to ``status.json``."""
        return asdict(self)


def finite_or_text(value: float) -> float | str:
    """``value``, or ``"nan"``, ``"inf"``, ``"-inf"``, which JSON has no number for."""
    return value if value - value == 0 else str(float(value))


def read_status(path: Path, pid: int, process_started: float, host: str) -> RunStatus:
    """Read ``status.json`` and derive ``lost`` for an active run whose process is gone.

    Args:
        path: the file; missing reads as ``created``.
        pid: the writer's process id.
        process_started: its start time as :func:`process_start_time` gave it, 0 where unknown.
        host: its host name.

    Raises:
        RunRecordError: the file is there but is no status.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        known = {f.name for f in fields(RunStatus)}
        status = RunStatus(**{key: value for key, value in record.items() if key in known})
    except FileNotFoundError:
        status = RunStatus()
    except (ValueError, TypeError, AttributeError) as error:
        raise RunRecordError(
            f"{path} can't be read ({error})", advice="The run's other files may be intact."
        ) from error
    if not status.is_active:
        return status
    if host == socket.gethostname():
        gone = not process_alive(pid, process_started)
    else:
        gone = time.time() - status.updated > SILENT_AFTER
    return replace(status, state="lost") if gone else status
