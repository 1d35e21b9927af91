"""The face of a launcher, and what every launched rank has in common.

It must not know how processes are started.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch

PARENT_POLL = 0.5  # seconds between looks whether the process that started this rank still lives


class Launcher(ABC):
    """Starts the ranks and lets each of them call a function."""

    @property
    @abstractmethod
    def is_interactive_compatible(self) -> bool:
        """Whether it works in a notebook or at a prompt."""

    @abstractmethod
    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Call ``function(*args, **kwargs)`` on every rank; returns what it returned on rank 0.

        Args:
            function: the work.
            args: passed on.
            trainer: the Trainer whose call this is; what it has become on rank 0 is put back into it.
            kwargs: passed on.

        Raises:
            RankRaisedError, RankDiedError: what happened first on a rank, which it names.
        """

    @abstractmethod
    def enter(self) -> None:
        """Start the ranks for the rest of the program, where that can be.

        Raises:
            InvalidTypeError: ranks are new processes, which need a function.
        """

    def kill(self, signum: int = signal.SIGTERM) -> None:  # noqa: B027 - optional
        """Send a signal to the ranks that this process started."""


def settle_in(rank: int, parent: int | None, ranks: int) -> None:
    """Make this process a well-behaved rank: it ends with its parent, is quiet, and leaves the others their cores.

    Args:
        rank: of all.
        parent: the process that started this one and without which it has no purpose; None for one nobody started.
        ranks: on this machine.
    """
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True, name="lit-studio-parent").start()
    if rank > 0:  # each rank would say the same
        logging.getLogger("lit_studio").setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"lit_studio\.")
    share_cores(ranks)


def share_cores(ranks: int) -> None:
    """Give each rank of this machine its part of the cores, unless ``OMP_NUM_THREADS`` says something else."""
    if ranks > 1 and "OMP_NUM_THREADS" not in os.environ:
        threads = max(1, len(os.sched_getaffinity(0)) // ranks if hasattr(os, "sched_getaffinity") else 1)
        torch.set_num_threads(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_POLL)
    os._exit(1)  # no clean-up: it would wait for ranks that are ending too
