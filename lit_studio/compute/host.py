"""The host's CPU and memory, as far as this process may use them.

It must not know what else runs. In a container the control group's limit counts, not the machine's memory: a
process is killed at the former.
"""

from __future__ import annotations

import contextlib
import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

# (limit, use, statistics) under the control group's root, for version 2 and version 1
_GROUPS = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)


@dataclass(frozen=True, slots=True)
class Host:
    """Use of the host.

    Attributes:
        cpu_percent: mean over all cores since the last look, 0 to 100; None at the first.
        memory_used: bytes in use that can't be given back at once (no file cache).
        memory_total: bytes there are, or that the control group allows where that is less.
    """

    cpu_percent: float | None
    memory_used: int
    memory_total: int


def read_memory(groups: Path = Path("/sys/fs/cgroup")) -> tuple[int, int]:
    """``(used, total)`` in bytes; ``groups`` is where control groups are mounted."""
    memory = psutil.virtual_memory()
    used, total = memory.total - memory.available, memory.total
    for limit_file, use_file, statistics_file in _GROUPS:
        with contextlib.suppress(OSError, ValueError):  # no group, or "max": no limit
            limit = int((groups / limit_file).read_text())
            if limit < total:
                cached = _inactive_file((groups / statistics_file).read_text())
                return max(0, int((groups / use_file).read_text()) - cached), limit
    return used, total


def _inactive_file(statistics: str) -> int:
    table = dict(line.split(maxsplit=1) for line in statistics.splitlines() if " " in line)
    return int(table.get("total_inactive_file", table.get("inactive_file", 0)))


@cache
def cpu_name() -> str:
    """The processor's name and the number of cores this process may use, for instance ``"Xeon 8481C, 2 cores"``."""
    name = ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    name = name or platform.processor() or platform.machine() or "CPU"
    return f"{name}, {cores} core{'s' if cores != 1 else ''}"
