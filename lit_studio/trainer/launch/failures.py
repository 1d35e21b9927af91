"""What went wrong on which rank, and which of several failures was the first.

It must not know how ranks were started.
"""

from __future__ import annotations

import pickle
import signal
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from lit_studio.base.errors import RankError


class RankRaisedError(RankError, ProcessRaisedException):
    """The program raised an error on a rank: its ``__cause__``, where that could cross from one process to another.

    Attributes:
        rank: the rank.
        error_index: the same, as torch calls it.
        error_pid: the process.
    """

    def __init__(self, rank: int, pid: int, words: str, trace: str):
        _say(self, f"Rank {rank} failed: {words}", f"\n{trace}")
        self.rank = self.error_index = rank
        self.error_pid, self.pid, self.msg = pid, pid, str(self)
        self._made_of = rank, pid, words, trace

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._made_of


class RankDiedError(RankError, ProcessExitedException):
    """A rank's process ended without a word.

    Attributes:
        rank: the rank.
        error_index: the same, as torch calls it.
        error_pid: the process.
        exit_code: its exit status, negative for a signal.
    """

    def __init__(self, rank: int, pid: int, exit_code: int, advice: str | None = None):
        how = f"ended with exit status {exit_code}"
        if exit_code < 0:
            how = f"was killed by {_signal_name(-exit_code)}"
            if -exit_code == signal.SIGKILL:
                advice = advice or "The system does so when memory runs out: try a smaller batch size, or fewer ranks."
        _say(self, f"Rank {rank} {how}", advice)
        self.rank = self.error_index = rank
        self.error_pid, self.pid, self.exit_code, self.msg = pid, pid, exit_code, str(self)
        self.signal_name = _signal_name(-exit_code) if exit_code < 0 else None
        self._made_of = rank, pid, exit_code, advice

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._made_of


def _say(error: RankError, what: str, advice: str | None) -> None:
    """Give ``error`` its words; torch's classes want arguments of their own in their ``__init__``."""
    plain = RankError(what, advice=advice)
    Exception.__init__(error, *plain.args)
    error.__dict__.update(plain.__dict__)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@dataclass
class Failure:
    """A failure of one rank.

    Attributes:
        rank, pid: whose.
        words: the error's type and message.
        trace: its traceback as text.
        error: itself, pickled; None where that can't be done.
        at: when, in ``time.time``'s seconds.
        interrupted: whether it was ^C.
        exit_code: for a process that ended without a word.
    """

    rank: int
    pid: int
    words: str = ""
    trace: str = ""
    error: bytes | None = None
    at: float = field(default_factory=time.time)
    interrupted: bool = False
    exit_code: int | None = None

    @classmethod
    def of(cls, rank: int, pid: int, error: BaseException) -> Failure:
        """What ``error``, just caught on this rank, means for the others."""
        words = f"{type(error).__name__}: {error}".rstrip(": ")
        trace = "".join(traceback.format_exception(error)).rstrip()
        interrupted = isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt)
        return cls(rank, pid, words, trace, _pickled(error), interrupted=interrupted)

    def to_error(self, advice: str | None = None) -> RankError:
        """The error to be raised in the process that a person looks at."""
        if self.exit_code is not None:
            return RankDiedError(self.rank, self.pid, self.exit_code, advice)
        raised = RankRaisedError(self.rank, self.pid, self.words, self.trace)
        raised.__cause__ = _unpickled(self.error)
        return raised


def first_of(failures: list[Failure]) -> Failure:
    """The one that the others follow from: a process that was killed, else the earliest."""
    killed = [one for one in failures if one.exit_code is not None and one.exit_code < 0]
    return min(killed or failures, key=lambda one: (one.at, one.rank))


def _pickled(error: BaseException) -> bytes | None:
    try:
        found = pickle.dumps(error)
        pickle.loads(found)  # noqa: S301 - what this process has just written
    except Exception:  # noqa: BLE001 - an error of the user's may hold anything
        return None
    return found


def _unpickled(error: bytes | None) -> Any:
    if error is None:
        return None
    try:
        return pickle.loads(error)  # noqa: S301 - from a process of ours
    except Exception:  # noqa: BLE001 - its class may not exist in this process
        return None
