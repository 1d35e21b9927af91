"""Whether a process that was written down still lives, told apart from a later one of the same number.

It must not know what the process does, nor import anything of the house: keepers load it, one for each kernel.
"""

from __future__ import annotations

import os
from pathlib import Path


def process_start_time(pid: int) -> float:
    """When the process started, in clock ticks since boot (Linux ``/proc``); 0 where that can't be known."""
    try:
        return float(_stat(pid)[19])
    except (IndexError, ValueError):
        return 0.0


def process_alive(pid: int, started: float = 0.0) -> bool:
    """Whether ``pid`` lives and, where both are known, is the process that started at ``started``."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it lives, but belongs to somebody else
    now = process_start_time(pid)
    return not (started and now) or now == started


def process_runs(pid: int, started: float = 0.0) -> bool:
    """Whether :func:`process_alive` says so, and the process hasn't ended to wait only for its parent's look."""
    return process_alive(pid, started) and _stat(pid)[:1] not in (["Z"], ["X"])


def _stat(pid: int) -> list[str]:
    """The fields that Linux tells of a process, from its state on; empty where it tells nothing."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
