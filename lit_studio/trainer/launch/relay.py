"""What rank 0's run tells, brought to the process that launched it: there a person's notebook shows it.

It must not know what shows a run; it hands on events. Requests need no way back: they lie in the run's inbox.
"""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Callable
from typing import Any

from lit_studio.base.events import Event, Observer
from lit_studio.base.runs import RunDirectory


def shows_here() -> bool:
    """Whether runs are shown in this process, which is a notebook's kernel."""
    return "ipykernel" in sys.modules


class Relay:
    """On rank 0, in the place of what would show the run there.

    Args:
        send: takes bytes to the process that launched this one.
        run: the run.
    """

    displays = True

    def __init__(self, send: Callable[[bytes], None], run: RunDirectory):
        self._send, self._folder = send, str(run.path)

    def observe(self, event: Event) -> None:
        """Hand it on."""
        self._send(pickle.dumps(("event", (self._folder, event))))

    def close(self) -> None:
        """Nothing is held."""


class Viewers:
    """In the launching process: those who show what is relayed; made when the first event of a run comes."""

    def __init__(self) -> None:
        self._folder = ""
        self._observers: list[Observer] = []

    def observe(self, relayed: tuple[str, Event]) -> None:
        """Show one event of the run in this folder; whoever fails is reported and dropped."""
        folder, event = relayed
        if folder != self._folder:
            from lit_studio.trainer.observation import make_displays

            self.close()
            self._folder, self._observers = folder, make_displays(RunDirectory.open(folder))
        for observer in tuple(self._observers):
            self._call(observer, observer.observe, event)

    def close(self) -> None:
        """The call is over."""
        for observer in tuple(self._observers):
            self._call(observer, observer.close)
        self._observers = []

    def _call(self, observer: Observer, method: Callable[..., Any], *args: Any) -> None:
        try:
            method(*args)
        except Exception as error:  # noqa: BLE001 - showing a run must never end it
            self._observers.remove(observer)
            warnings.warn(f"The observer {type(observer).__name__} failed and is left out: {error!r}", stacklevel=2)
