"""A logger's own queue: values wait here and a thread of its own delivers them, so that training never waits.

It must not know what is sent, where to, or the loop: it is handed calls and items, and makes the calls in order.
"""

from __future__ import annotations

import atexit
import os
import re
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from lit_studio.base.errors import LoggerError
from lit_studio.loggers.base import Logger, is_rank_zero

IDLE = 10.0  # seconds after which a thread with nothing to do ends; the next item starts another
_CREDENTIALS = re.compile(r"(://[^:/@\s]*:)[^@\s]+@")
_SECRETS = ("WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "DATABRICKS_TOKEN")

Deliver = Callable[[list[Any]], None]


class Outbox:
    """A bounded queue with one thread that delivers what is put into it, in order and several at a time.

    :meth:`put` returns at once whatever happens at the other end. When the queue is full, the oldest item goes. A
    delivery that fails is tried again, and given up after some attempts; the next ones are tried all the same.

    Args:
        name: whose queue this is, for messages.
        capacity: how many items may wait.
        batch: how many are delivered by one call at most.
        attempts: how often one delivery is tried.
        pause: seconds before the second attempt; the third waits twice as long, and so on.

    Attributes:
        delivered, dropped, failed: items that arrived, that went because the queue was full, and that were given up.
    """

    def __init__(self, name: str, *, capacity: int = 10_000, batch: int = 200, attempts: int = 3, pause: float = 1.0):
        self.name, self.capacity, self.batch, self.attempts, self.pause = name, capacity, batch, attempts, pause
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._items: deque[tuple[Deliver, Any, bool]] = deque()
        self._thread: threading.Thread | None = None
        self._under_way = 0
        self._hurries = self._abandoned = False
        self._trouble: Exception | None = None
        self.delivered = self.dropped = self.failed = 0

    def __getstate__(self) -> dict[str, Any]:
        # What waits is the first process's to deliver.
        return {key: self.__dict__[key] for key in ("name", "capacity", "batch", "attempts", "pause")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def put(self, deliver: Deliver, item: Any, keep: bool = False) -> None:
        """Let ``deliver([item])`` be called soon, together with neighbours that are for the same ``deliver``.

        Args:
            deliver: takes a list of items. It may remove from the list what has arrived, so that another attempt
                after a failure gets only the rest.
            item: anything.
            keep: whether it stays also when the queue is full.
        """
        if self._process != os.getpid():  # a forked child: no thread, and a lock that may be held for ever
            self._reset()
        with self._changed:
            if len(self._items) >= self.capacity:
                self._drop_oldest()
            self._items.append((deliver, item, keep))
            self._abandoned = False
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name=f"{self.name} outbox", daemon=True)
                self._thread.start()
                _flush_at_exit(self)
            self._changed.notify_all()

    def _drop_oldest(self) -> None:
        for index, (_, _, keep) in enumerate(self._items):
            if not keep:
                del self._items[index]
                self.dropped += 1
                self._trouble = self._trouble or LoggerError(
                    f"{self.name} can't keep up, so its oldest values are dropped",
                    advice="The run's own record and other loggers are complete. The count is told at the end.",
                )
                return

    def check(self) -> None:
        """Raise what went wrong since the last call.

        Raises:
            LoggerError: something could not be delivered, or was dropped.
        """
        trouble, self._trouble = self._trouble, None
        if trouble is None:
            return
        if isinstance(trouble, LoggerError):
            raise trouble
        raise LoggerError(f"{self.name} can't deliver: {_words(trouble)}") from trouble

    def flush(self, limit: float) -> int:
        """Wait until all is delivered or given up.

        Args:
            limit: seconds to wait at most.

        Returns:
            How many items are still waiting or under way.
        """
        if self._process != os.getpid():
            self._reset()
        with self._changed:
            self._hurries = True
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: not self._items and not self._under_way, limit)
            finally:
                self._hurries = False
            left = len(self._items) + self._under_way
            self._abandoned = left > 0
            return left

    def flush_before_exit(self, limit: float) -> None:
        """:meth:`flush`, unless that has been tried in vain."""
        if not self._abandoned and self._process == os.getpid():
            self.flush(limit)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._items and not self._changed.wait_for(lambda: self._items, IDLE):
                    self._thread = None
                    return
                deliver, batch = self._take()
                self._under_way = len(batch)
            self._deliver(deliver, batch)
            with self._changed:
                self._under_way = 0
                self._changed.notify_all()

    def _take(self) -> tuple[Deliver, list[Any]]:
        deliver, item, _ = self._items.popleft()
        batch = [item]
        while self._items and len(batch) < self.batch and self._items[0][0] == deliver:
            batch.append(self._items.popleft()[1])
        return deliver, batch

    def _deliver(self, deliver: Deliver, batch: list[Any]) -> None:
        whole = len(batch)
        for attempt in range(1, self.attempts + 1):
            try:
                deliver(batch)
            except Exception as error:  # noqa: BLE001 - a server that is away, a full disk, a mistake of a library's
                self._trouble = self._trouble or error
                if attempt < self.attempts:
                    with self._changed:
                        self._changed.wait_for(lambda: self._hurries, self.pause * attempt)
            else:
                if not self.delivered:
                    _flush_at_exit(self)
                self.delivered += whole
                return
        self.failed += len(batch)
        self.delivered += whole - len(batch)


_at_work: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _flush_at_exit(outbox: Outbox) -> None:
    """See to it that ``outbox`` is emptied when the interpreter ends, before anything that was registered so far.

    Called again once the first item has arrived: by then the library at the other end has registered its own
    farewell, which must come later.
    """
    _at_work.add(outbox)
    atexit.unregister(_empty_all)
    atexit.register(_empty_all)


def _empty_all() -> None:
    until = time.monotonic() + QueuedLogger.flush_timeout
    for outbox in tuple(_at_work):
        outbox.flush_before_exit(max(0.0, until - time.monotonic()))


def without_secrets(text: str) -> str:
    """``text`` without passwords in addresses and without the keys that lie in the environment."""
    for name in _SECRETS:
        secret = os.environ.get(name, "")
        if len(secret) >= 8:
            text = text.replace(secret, "***")
    return _CREDENTIALS.sub(r"\1***@", text)


def _words(error: Exception) -> str:
    """``error`` on one line that a person can read."""
    words = without_secrets(" ".join(f"{type(error).__name__}: {error}".split()))
    return words if len(words) <= 300 else f"{words[:299]}…"


class QueuedLogger(Logger):
    """A logger that delivers on a thread of its own; see :class:`Outbox`.

    Attributes:
        flush_timeout: seconds that :meth:`finalize` waits for what is still on its way (default 30).
    """

    flush_timeout = 30.0

    def __init__(self) -> None:
        self._outbox = Outbox(type(self).__name__)

    def _queue(self, deliver: Deliver, item: Any, keep: bool = False) -> None:
        """Put ``item`` into the queue, on the rank that writes."""
        if is_rank_zero():
            self._outbox.put(deliver, item, keep)

    def save(self) -> None:
        """Tell of what went wrong; nothing is waited for.

        Raises:
            LoggerError: something could not be delivered since the last call, or was dropped.
        """
        self._outbox.check()

    def finalize(self, status: str) -> None:
        """Wait up to :attr:`flush_timeout` seconds for all to arrive; a warning tells what did not."""
        box = self._outbox
        left = box.flush(self.flush_timeout)
        counts = {
            f"still on their way after {self.flush_timeout:g} s": left,
            "given up after several attempts": box.failed,
            "dropped because the queue was full": box.dropped,
        }
        told = ", ".join(f"{count} {words}" for words, count in counts.items() if count)
        trouble, box._trouble = box._trouble, None
        box.failed = box.dropped = 0
        if told:
            cause = f" The first error was {_words(trouble)}" if trouble is not None else ""
            warnings.warn(f"{box.name} has not sent everything: {told}.{cause}", stacklevel=2)
