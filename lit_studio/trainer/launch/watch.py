"""Ranks that were started, until each of them has ended: first failures first, and nobody is left behind.

It must not know what the ranks do or how they were started.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

GRACE = 2.0  # seconds between asking a process to end and ending it
POLL = 0.02


class Started(Protocol):
    """A process of ours, multiprocessing's or subprocess's in one face."""

    pid: int

    def exit_code(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""

    def send(self, signum: int) -> None:
        """Send it a signal, if it still runs."""


def wait_for(condition: Callable[[], Any], seconds: float) -> bool:
    """Whether ``condition`` became true within so many seconds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= until:
            return False
        time.sleep(POLL)
    return True


def end_all(processes: Iterable[Started], grace: float = GRACE) -> None:
    """End ``processes``, by force those that don't end in time when they are asked to."""
    alive = [one for one in processes if one.exit_code() is None]
    for one in alive:
        one.send(signal.SIGTERM)
    if not wait_for(lambda: all(one.exit_code() is not None for one in alive), grace):
        for one in alive:
            one.send(signal.SIGKILL)
        wait_for(lambda: all(one.exit_code() is not None for one in alive), grace)
