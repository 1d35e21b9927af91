"""NVIDIA GPUs as their management library sees them: memory, utilization, and who holds memory.

It must not know of CUDA or torch, and starts neither. Everything that a GPU doesn't tell (a partitioned one has no
utilization, one that shares the host's memory none of its own, a lost one nothing) is None; MIG is left and shown as
it is set.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

RETRY_AFTER = 60.0


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        index: NVIDIA's index (not that of ``CUDA_VISIBLE_DEVICES``).
        name: as the driver gives it.
        utilization: percent of the last sampling period in which something ran.
        memory_used: bytes.
        memory_total: bytes.
        processes: bytes held by process id; in a container the driver may give other ids than seen inside.
    """

    index: int
    name: str
    utilization: float | None
    memory_used: int | None
    memory_total: int | None
    processes: dict[int, int] = field(default_factory=dict)


class NvidiaLibrary:
    """The management library, loaded when first asked; one that can't be used is tried again after a minute."""

    def __init__(self) -> None:
        self._library: Any = None
        self._reason = ""
        self._retry = 0.0

    def read(self) -> tuple[list[Gpu], str]:
        """All GPUs, and why there are none in words (empty if there are some)."""
        if self._library is None and time.monotonic() >= self._retry:
            self._load()
        if self._library is None:
            return [], self._reason
        nvml = self._library
        try:
            gpus = [self._read_one(index) for index in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError as error:
            # The driver went away under us (an upgrade, a reset): begin anew later.
            self._give_up(f"NVIDIA's driver no longer answers: {error}.")
            return [], self._reason
        return gpus, "" if gpus else "The NVIDIA driver knows no GPU."

    def _load(self) -> None:
        try:
            nvml: Any = importlib.import_module("pynvml")
        except ImportError:
            self._give_up("nvidia-ml-py is not installed; GPUs are shown after: pip install 'lit-studio[gpu]'")
            return
        try:
            nvml.nvmlInit()
        except nvml.NVMLError_LibraryNotFound:
            self._give_up("There is no NVIDIA driver on this machine.")
        except nvml.NVMLError as error:
            self._give_up(f"NVIDIA's driver can't be used: {error}.")
        else:
            self._library = nvml

    def _give_up(self, reason: str) -> None:
        self._library, self._reason = None, reason
        self._retry = time.monotonic() + RETRY_AFTER

    def _read_one(self, index: int) -> Gpu:
        nvml = self._library
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as error:
            return Gpu(index, f"GPU {index} doesn't answer ({error})", None, None, None)
        name = self._ask(nvml.nvmlDeviceGetName, handle)
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
        rates = self._ask(nvml.nvmlDeviceGetUtilizationRates, handle)
        processes: dict[int, int] = {}
        for process in self._ask(nvml.nvmlDeviceGetComputeRunningProcesses, handle) or ():
            processes[process.pid] = processes.get(process.pid, 0) + (process.usedGpuMemory or 0)
        return Gpu(
            index,
            name.decode(errors="replace") if isinstance(name, bytes) else name or "NVIDIA GPU",
            None if rates is None else float(rates.gpu),
            None if memory is None else int(memory.used),
            None if memory is None else int(memory.total),
            processes,
        )

    def _ask(self, question: Callable[[Any], Any], handle: Any) -> Any:
        """The answer, None where this GPU has none or this user may not have it."""
        try:
            return question(handle)
        except self._library.NVMLError:
            return None
