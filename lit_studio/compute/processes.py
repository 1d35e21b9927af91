"""What a process and all that it started use of CPU and memory.

It must not know what the processes do. CPU time is compared between two looks, process by process, so that one that
ended in between doesn't make the sum fall.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """Use of a process tree.

    Attributes:
        pid: the tree's root.
        cpu_percent: 100 is one core, since the last look; None at the first.
        memory: bytes resident, summed over the tree (pages that its processes share count once for each).
        started: when the root started, seconds since the epoch.
        gpu_memory: bytes by GPU index.
    """

    pid: int
    cpu_percent: float | None
    memory: int
    started: float
    gpu_memory: dict[int, int] = field(default_factory=dict)


class ProcessTrees:
    """Looks at process trees again and again; forgets those that are no longer asked for."""

    def __init__(self) -> None:
        self._known: dict[int, dict[psutil.Process, float]] = {}
        self._looked = 0.0

    def look(self, pids: Iterable[int]) -> dict[int, tuple[ProcessUse, list[int]]]:
        """Use of each living pid of ``pids``, and the pids in its tree."""
        now = time.monotonic()
        since, self._looked = now - self._looked, now
        before, self._known = self._known, {}
        found = {}
        for pid in dict.fromkeys(pids):
            with contextlib.suppress(psutil.Error):
                root = next((p for p in before.get(pid, ()) if p.pid == pid and p.is_running()), None)
                use, members = self._look_at(root or psutil.Process(pid), before.get(pid), since)
                found[pid] = use, members
        return found

    def _look_at(
        self, root: psutil.Process, before: dict[psutil.Process, float] | None, since: float
    ) -> tuple[ProcessUse, list[int]]:
        known = {process.pid: process for process in before or ()}
        memory, spent, seconds = 0, 0.0, {}
        for process in (root, *_descendants(root, known)):
            with contextlib.suppress(psutil.Error), process.oneshot():
                times = process.cpu_times()
                memory += process.memory_info().rss
                seconds[process] = times.user + times.system
                # One that wasn't there at the last look has spent all its time since.
                spent += seconds[process] - (before or {}).get(process, 0.0)
        if root not in seconds:
            raise psutil.NoSuchProcess(root.pid)
        self._known[root.pid] = seconds
        percent = None if before is None or since <= 0 else max(0.0, 100.0 * spent / since)
        return ProcessUse(root.pid, percent, memory, root.create_time()), [process.pid for process in seconds]


def _descendants(root: psutil.Process, known: dict[int, psutil.Process]) -> list[psutil.Process]:
    """All processes under ``root``, those of ``known`` as the same objects (which notice a reused pid)."""
    pids = _children_from_proc(root.pid)
    if pids is None:
        return root.children(recursive=True)
    found, waiting = [], pids
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(psutil.Error):
            process = known.get(pid)
            found.append(process if process is not None and process.is_running() else psutil.Process(pid))
            waiting += _children_from_proc(pid) or []
    return found


def _children_from_proc(pid: int) -> list[int] | None:
    """Children by Linux's own list, which spares a walk over all processes; None where the kernel keeps none."""
    try:
        lists = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
        return [int(child) for file in lists for child in file.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError:
        return []
