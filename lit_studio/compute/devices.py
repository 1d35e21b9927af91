"""One reading of the machine: its devices, the host, and the processes that are asked for.

It must not know who asks. Readings are shared: whoever asks within half a second of the last reading is told the
same, so many open pages cost no more than one, and percentages always cover a time long enough to mean something.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psutil

from lit_studio.compute.host import Host, cpu_name, read_memory
from lit_studio.compute.nvidia import NvidiaLibrary
from lit_studio.compute.processes import ProcessTrees, ProcessUse

FRESH = 0.5


@dataclass(frozen=True, slots=True)
class Device:
    """Something to compute on.

    Attributes:
        kind: ``cpu`` or ``cuda``, torch's words.
        index: number among its kind.
        name: for people.
        utilization: percent, None where unknown.
        memory_used, memory_total: bytes, None where unknown.
        reason: for the CPU, why there is no GPU beside it; empty if there is one.
    """

    kind: str
    index: int
    name: str
    utilization: float | None
    memory_used: int | None
    memory_total: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine at one moment; ``processes`` holds those asked for that live, by pid."""

    time: float
    devices: tuple[Device, ...]
    host: Host
    processes: dict[int, ProcessUse]


class Meter:
    """Reads the machine; a reading takes a few milliseconds. Safe to use from several threads.

    Args:
        fresh: seconds during which a reading is handed out again.
    """

    def __init__(self, fresh: float = FRESH):
        self._fresh = fresh
        self._lock = threading.Lock()
        self._trees, self._nvidia = ProcessTrees(), NvidiaLibrary()
        self._last: tuple[float, frozenset[int], Reading] | None = None
        self._looked_before = False

    def read(self, pids: Sequence[int] = ()) -> Reading:
        """The machine now, with the process trees under ``pids``; dead pids are left out."""
        with self._lock:
            now = time.monotonic()
            if self._last is not None:
                taken, asked, reading = self._last
                if now - taken < self._fresh and asked.issuperset(pids):
                    return reading
            reading = self._read(pids)
            self._last = (now, frozenset(pids), reading)
            return reading

    def _read(self, pids: Sequence[int]) -> Reading:
        percent: float | None = psutil.cpu_percent(interval=None)
        if not self._looked_before:
            percent, self._looked_before = None, True
        used, total = read_memory()
        gpus, reason = self._nvidia.read()
        devices = [Device("cpu", 0, cpu_name(), percent, used, total, reason)]
        devices += [
            Device("cuda", gpu.index, gpu.name, gpu.utilization, gpu.memory_used, gpu.memory_total) for gpu in gpus
        ]
        processes = {}
        for pid, (use, members) in self._trees.look(pids).items():
            held = {gpu.index: sum(gpu.processes.get(member, 0) for member in members) for gpu in gpus}
            processes[pid] = replace(use, gpu_memory={index: size for index, size in held.items() if size})
        return Reading(time.time(), tuple(devices), Host(percent, used, total), processes)
