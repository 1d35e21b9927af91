"""Wall time by action: calls, mean, total and share.

It must not know torch: a GPU's work counts where the host waits for it.
"""

from __future__ import annotations

import time
from pathlib import Path

from lit_studio.base.errors import InvalidValueError
from lit_studio.profilers.base import Profiler


class SimpleProfiler(Profiler):
    """Records the wall time of each action.

    Args:
        dirpath: see :class:`Profiler`.
        filename: see :class:`Profiler`.
        extended: add the number of calls and each action's share of the whole.

    Attributes:
        recorded_durations: seconds of each call by action.
    """

    def __init__(self, dirpath: str | Path | None = None, filename: str | None = None, extended: bool = True):
        super().__init__(dirpath, filename)
        self.extended = extended
        self.recorded_durations: dict[str, list[float]] = {}
        self._started: dict[str, float] = {}
        self._since = time.monotonic()

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Forget earlier durations and start the clock of the whole run."""
        super().setup(stage, local_rank, log_dir)
        self.recorded_durations, self._started, self._since = {}, {}, time.monotonic()

    def start(self, action_name: str) -> None:
        """Start the clock of ``action_name``.

        Raises:
            InvalidValueError: it is running already.
        """
        if action_name in self._started:
            raise InvalidValueError("This action has started already", value=action_name, valid="stop it first")
        self._started[action_name] = time.monotonic()

    def stop(self, action_name: str) -> None:
        """Stop the clock of ``action_name`` and record the duration.

        Raises:
            InvalidValueError: it was not running.
        """
        now = time.monotonic()
        if action_name not in self._started:
            raise InvalidValueError("This action was not started", value=action_name, valid="start it first")
        self.recorded_durations.setdefault(action_name, []).append(now - self._started.pop(action_name))

    def summary(self) -> str:
        """A table with the longest action first; seconds throughout."""
        if not self.recorded_durations:
            return ""
        whole = time.monotonic() - self._since
        rows = sorted(((sum(d), len(d), name) for name, d in self.recorded_durations.items()), reverse=True)
        width = max(len("Action"), *(len(name) for _, _, name in rows))
        head = f"{'Action':<{width}} | {'Mean (s)':>12} | "
        head += f"{'Calls':>9} | {'Total (s)':>12} | {'Share (%)':>9}" if self.extended else f"{'Total (s)':>12}"
        lines = [f"Profiler report of {self._stage or 'this run'}, {whole:.4g} s in all", head, "-" * len(head)]
        for total, calls, name in rows:
            line = f"{name:<{width}} | {total / calls:>12.5g} | "
            if self.extended:
                line += f"{calls:>9} | {total:>12.5g} | {100 * total / whole if whole else 0:>9.4g}"
            else:
                line += f"{total:>12.5g}"
            lines.append(line)
        return "\n".join(["", *lines, ""])
