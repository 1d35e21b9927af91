"""Steps that all ranks come to alike, at which they hear what a person wants and whether one of them wants to stop.

It must not know what a step is or what is done about a wish: it counts, exchanges a few numbers, and hands on.

Between two boundaries, about a tenth of a second, ranks say nothing to each other but gradients. At a boundary one
small exchange on the host tells all of them how far the next one is, as rank 0 has measured, what any of them wishes,
and whether a person has asked rank 0 for something; if so, the request follows, and all ranks carry it out.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lit_studio.base.events import Paused, Resumed
from lit_studio.steering.requests import POLL_EVERY, Requests

if TYPE_CHECKING:
    from lit_studio.base.runs import Command

SECONDS_APART = 0.1  # of boundaries
FARTHEST = 2048  # steps between two boundaries at most
GROWTH = 4  # the distance grows by so much at most, for the first steps are the slowest


class Boundaries(Requests):
    """Carries out requests on all ranks at once; mixed into a class that knows how.

    Attributes:
        strategy: how ranks talk; to be set before the first boundary.
    """

    strategy: Any = None
    _distance = _left = 1
    _since = 0.0

    def wishes(self) -> list[bool]:
        """What this rank wants all of them to know."""
        return []

    def hear(self, wishes: list[bool]) -> None:
        """Take up what any of the ranks wishes."""

    def passed(self) -> bool:
        """Count a step; whether it ends at a boundary."""
        self._left -= 1
        return self._left <= 0

    def exchange(self) -> float:
        """At a boundary: tell and hear; returns the seconds of a pause."""
        commands = self._poll()
        numbers = [len(commands), self._pace(), *map(int, self.wishes())]
        asked, self._distance, *wishes = self.strategy.largest(numbers)
        self.hear(list(map(bool, wishes)))
        paused = 0.0
        if asked:
            self._do(self.strategy.broadcast_patiently(commands))
            paused = self._wait() if self._pausing else 0.0
        self._left, self._since = self._distance, time.monotonic()
        return paused

    def settle(self) -> None:
        """Where all ranks are anyway: only the wishes."""
        self.hear(list(map(bool, self.strategy.largest(list(map(int, self.wishes()))))))

    def _pace(self) -> int:
        """On rank 0: how many steps make up the time between two boundaries."""
        if not self.strategy.is_global_zero:
            return 0
        elapsed = max(time.monotonic() - self._since, 1e-6)
        return max(1, min(FARTHEST, GROWTH * self._distance, round(self._distance * SECONDS_APART / elapsed)))

    def _poll(self) -> list[Command]:
        return self._mailbox.poll() if self.strategy.is_global_zero else []

    def _wait(self) -> float:
        audience, began, leads = self._audience, time.monotonic(), self.strategy.is_global_zero
        audience.emit(Paused(time.time(), *audience.at()))
        while self._pausing:
            commands: list[Command] = []
            while leads and not commands and not audience.leaving:
                time.sleep(POLL_EVERY)
                commands = self._poll()
            found, leaving = self.strategy.broadcast_patiently((commands, audience.leaving))
            self._do(found)
            if leaving:
                break
        audience.emit(Resumed(time.time(), *audience.at()))
        return time.monotonic() - began
