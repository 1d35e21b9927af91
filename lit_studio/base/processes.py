"""Whether a process that was written down still lives, told apart from a later one of the same number.

It must not know what the process does, nor import anything of the house: keepers load it, one for each kernel.
"""

from __future__ import annotations

import os
from pathlib import Path


def process_start_time(pid: int) -> float:
    """When the process started, in clock ticks since boot (Linux ``/proc``); 0 where that can't be known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return float(stat.rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
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
