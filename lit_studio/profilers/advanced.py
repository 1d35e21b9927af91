"""Python calls by action, measured with the standard library's cProfile.

It must not know torch: what happens below Python shows as the call that led there.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import tempfile
from pathlib import Path

from lit_studio.base.errors import InvalidValueError
from lit_studio.profilers.base import Profiler


class AdvancedProfiler(Profiler):
    """Profiles the Python calls inside each action.

    Only one cProfile can be active in a thread: an action that starts inside another one takes over, and the outer
    one goes on when it stops, so each call is counted under the innermost action.

    Args:
        dirpath: see :class:`Profiler`.
        filename: see :class:`Profiler`.
        line_count_restriction: how many lines an action's report has: a count (int) or a share of all (float).
        dump_stats: also write ``<action>.prof`` files, which ``pstats`` and snakeviz read, beside the report.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        line_count_restriction: float = 1.0,
        dump_stats: bool = False,
    ):
        super().__init__(dirpath, filename)
        self.line_count_restriction, self.dump_stats = line_count_restriction, dump_stats
        self.profiled_actions: dict[str, cProfile.Profile] = {}
        self._stack: list[str] = []

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """Forget earlier profiles."""
        super().setup(stage, local_rank, log_dir)
        self.profiled_actions, self._stack = {}, []

    def start(self, action_name: str) -> None:
        """Profile ``action_name`` from now on; an outer action waits."""
        if self._stack:
            self.profiled_actions[self._stack[-1]].disable()
        self._stack.append(action_name)
        self.profiled_actions.setdefault(action_name, cProfile.Profile()).enable()

    def stop(self, action_name: str) -> None:
        """Stop profiling ``action_name``; an outer action goes on.

        Raises:
            InvalidValueError: it is not the action that was started last.
        """
        if not self._stack or self._stack[-1] != action_name:
            running = self._stack[-1] if self._stack else "nothing"
            raise InvalidValueError("This action is not the one being profiled", value=action_name, valid=running)
        self.profiled_actions[action_name].disable()
        self._stack.pop()
        if self._stack:
            self.profiled_actions[self._stack[-1]].enable()

    def summary(self) -> str:
        """For each action its calls, the most expensive by cumulated time first."""
        parts = []
        for name, profile in self.profiled_actions.items():
            text = io.StringIO()
            stats = pstats.Stats(profile, stream=text).strip_dirs().sort_stats("cumulative")
            stats.print_stats(self.line_count_restriction)
            parts.append(f"\nProfile of {name}\n{text.getvalue()}")
        if self.dump_stats:
            self._dump()
        return "".join(parts)

    def _dump(self) -> None:
        folder = self.dirpath or Path(self._log_dir or tempfile.mkdtemp(prefix="lit-studio-profile-"))
        folder.mkdir(parents=True, exist_ok=True)
        for name, profile in self.profiled_actions.items():
            safe = "".join(ch if ch.isalnum() or ch in "-_." else "_" for ch in name)
            profile.dump_stats(folder / f"{safe}.prof")

    def teardown(self, stage: str | None = None) -> None:
        """Stop what is still being profiled, so that no cProfile stays active in this thread."""
        if self._stack:
            self.profiled_actions[self._stack[-1]].disable()
        self._stack = []
