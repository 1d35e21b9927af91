"""Commands to a run: files that wait in its inbox until the loop reads them at a step boundary.

It must not know how a command is carried out. A command is one small file, put in place by a rename, so that
any process on the machine (the server, a terminal, the kernel itself) can send one and a half-written one is
never read. The directory's change time tells the loop in one system call that nothing has come.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lit_studio.base.errors import InvalidValueError

COARSE_TICK = 50_000_000  # nanoseconds
COMMANDS = ("pause", "resume", "stop", "abort", "save", "validate", "set_lr", "undo_lr")
_SET_LR = {"value", "factor", "group"}


@dataclass(frozen=True, slots=True)
class Command:
    """A person's request.

    Attributes:
        name: one of :data:`COMMANDS`.
        arguments: for ``set_lr``: ``{"value": float}``, the new rate, or ``{"factor": float}``, what the present one is
            multiplied by; optionally ``{"group": int}``; empty for the others.
        who: who asks, shown on the curve.
        id: unique; comes back in ``CommandApplied.command_id``.
        time: when it was asked.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    who: str = "you"
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    time: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        if self.name not in COMMANDS:
            raise InvalidValueError("No such command", value=self.name, valid=", ".join(COMMANDS))
        unknown = set(self.arguments) - (_SET_LR if self.name == "set_lr" else set())
        if unknown:
            valid = "value or factor and, optionally, group" if self.name == "set_lr" else "none"
            raise InvalidValueError(f"{self.name} has no such argument", value=sorted(map(str, unknown)), valid=valid)
        if self.name == "set_lr":
            _check_learning_rate(self.arguments)
            group = self.arguments.get("group", 0)
            if isinstance(group, bool) or not isinstance(group, int) or group < 0:
                raise InvalidValueError("A parameter group is a number from 0", value=group, valid="e.g. 0")


def _check_learning_rate(arguments: dict[str, Any]) -> None:
    if "factor" not in arguments:
        value: Any = arguments.get("value")
        if not _is_finite(value) or value < 0:
            raise InvalidValueError("A learning rate must be a finite number ≥ 0", value=value, valid="e.g. 0.001")
    elif "value" in arguments:
        raise InvalidValueError("A learning rate is set or multiplied, not both", value=arguments, valid="one of them")
    elif not _is_finite(factor := arguments["factor"]) or factor <= 0:
        raise InvalidValueError("The factor must be a finite number > 0", value=factor, valid="e.g. 0.5")


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # Compared rather than converted: an int may be too large for a float.
    return is_number and abs(value) <= sys.float_info.max


def send_command(inbox: Path, command: Command) -> str:
    """Put ``command`` into the directory ``inbox`` (made if missing) and return its id.

    Raises:
        OSError: the directory can't be written.
    """
    inbox.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = {
        "name": command.name,
        "arguments": command.arguments,
        "who": command.who,
        "id": command.id,
        "time": command.time,
    }
    draft = inbox / f".{command.id}.tmp"
    draft.write_text(json.dumps(record), encoding="utf-8")
    # Nanoseconds first, so that the names sort in the order of sending.
    draft.replace(inbox / f"{time.time_ns():020d}-{command.id}.json")
    return command.id


class Inbox:
    """The loop's end of the inbox.

    Commands that were sent before the inbox was opened are void: they were meant for an earlier run.
    """

    def __init__(self, path: Path):
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for stale in path.iterdir():
            with contextlib.suppress(OSError):
                stale.unlink()
        self._seen = 0

    def poll(self) -> list[Command]:
        """The commands that came since the last call, oldest first, each once; about 1 µs when there is none.

        A file that is no command is removed and ignored: it can't have come from :func:`send_command`.
        """
        try:
            changed = os.stat(self.path).st_mtime_ns  # noqa: PTH116 - on the hot path: no Path object
        except OSError:
            return []
        if changed == self._seen:
            return []
        commands = []
        for path in sorted(self.path.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, TypeError, InvalidValueError):
                commands.append(Command(**json.loads(path.read_text(encoding="utf-8"))))
            with contextlib.suppress(OSError):
                path.unlink()
        # Removing files changes the time too, which costs one more (empty) look. File systems keep coarse times:
        # within one tick a later command may leave the time as it is, so a fresh time doesn't count as seen.
        self._seen = changed if time.time_ns() - changed > COARSE_TICK else 0
        return commands


class Mailbox:
    """Where a run's requests arrive: from other processes by its inbox, from threads of its own by :meth:`post`.

    Attributes:
        inbox: the run's, None without a record.
    """

    def __init__(self) -> None:
        self.inbox: Inbox | None = None
        self._posted: deque[Command] = deque()

    def open(self, inbox: Inbox | None) -> None:
        """A call begins; what was meant for an earlier one is void."""
        self.inbox = inbox
        self._posted.clear()

    def post(self, command: Command) -> None:
        """Ask for something; safe in any thread."""
        self._posted.append(command)

    def poll(self) -> list[Command]:
        """What came since the last call, oldest first, each once; about 1 µs when there is nothing."""
        found = self.inbox.poll() if self.inbox is not None else []
        while self._posted:
            found.append(self._posted.popleft())
        return found
