"""Requests to a run and their answers: where they arrive, how a run pauses, and the events that confirm them.

It must not know where a request comes from, nor how one is carried out beyond pausing.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

from lit_studio.base.errors import StudioError
from lit_studio.base.events import CommandApplied, Event, Paused, Resumed
from lit_studio.base.runs import Command, Mailbox

POLL_EVERY = 0.02


class Audience(Protocol):
    """Who is told, and where the run stands."""

    leaving: bool

    def at(self) -> tuple[int, int]:
        """Optimizer steps done, and the epoch."""

    def emit(self, event: Event) -> None:
        """Tell everybody who watches."""

    def warn(self, kind: str, message: str) -> None:
        """Tell everybody and the person at the terminal."""


class Requests:
    """Reads one run's mailbox, pauses and resumes; whoever steers more defines a method ``_name`` for each command.

    Args:
        audience: who is told.
        mailbox: where requests arrive.
    """

    def __init__(self, audience: Audience, mailbox: Mailbox):
        self._audience, self._mailbox = audience, mailbox
        self._pausing = False

    def carry_out(self) -> float:
        """Do what was asked, waiting here while the run is paused; returns the seconds of the pause."""
        commands = self._mailbox.poll()
        if not commands:
            return 0.0
        self._do(commands)
        return self._wait() if self._pausing else 0.0

    def _wait(self) -> float:
        audience, began = self._audience, time.monotonic()
        audience.emit(Paused(time.time(), *audience.at()))
        while self._pausing and not audience.leaving:
            time.sleep(POLL_EVERY)
            self._do(self._mailbox.poll())
        audience.emit(Resumed(time.time(), *audience.at()))
        return time.monotonic() - began

    def _do(self, commands: list[Command]) -> None:
        for command in commands:
            try:
                carry_out = getattr(self, f"_{command.name}", None)
                if carry_out is None:
                    self._refuse(command, "this run has nothing of the kind")
                    continue
                detail = carry_out(command.arguments)
            except (StudioError, OSError) as error:
                self._refuse(command, error.what if isinstance(error, StudioError) else str(error))
                continue
            self._audience.emit(
                CommandApplied(
                    time.time(),
                    *self._audience.at(),
                    name=command.name,
                    who=command.who,
                    detail=detail,
                    command_id=command.id,
                )
            )

    def _refuse(self, command: Command, why: str) -> None:
        self._audience.warn("command-refused", f"{command.name} was refused: {why}.")

    def _pause(self, arguments: dict[str, Any]) -> str:
        self._pausing = True
        return ""

    def _resume(self, arguments: dict[str, Any]) -> str:
        self._pausing = False
        return ""
