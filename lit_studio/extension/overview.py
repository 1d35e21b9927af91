"""Putting together what the side panel shows, from the machine, the kernels and the runs.

It must not know requests or how numbers are measured. Called off the event loop: it reads files.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from lit_studio.base.errors import RunError
from lit_studio.base.runs import RunDirectory, RunStatus
from lit_studio.compute import Meter, ProcessUse
from lit_studio.extension.places import Places
from lit_studio.tracking import ReaderCache

STARTING = ("starting", "restarting", "dead")


class Overview:
    """Describes the studio as JSON-able dicts.

    Args:
        places: where runs may lie.
        readers: readers of runs.
        meter: the machine.
        recent: how many runs to list.
    """

    def __init__(self, places: Places, readers: ReaderCache, meter: Meter, recent: int):
        self._places, self._readers, self._meter, self._recent = places, readers, meter, recent

    def describe(self, kernels: list[dict[str, Any]]) -> dict[str, Any]:
        """Devices, host, kernels and runs.

        Args:
            kernels: Jupyter's kernel models, each with ``path`` (of its notebook, or empty) and ``pid`` (or None).
        """
        reading = self._meter.read([kernel["pid"] for kernel in kernels if kernel["pid"] is not None])
        return {
            "time": reading.time,
            "devices": [asdict(device) for device in reading.devices],
            "host": asdict(reading.host),
            "kernels": [_describe_kernel(kernel, reading.processes.get(kernel["pid"])) for kernel in kernels],
            "runs": self._describe_runs(),
        }

    def describe_run(self, run: RunDirectory, status: RunStatus | None = None) -> dict[str, Any]:
        """One run and where it stands (read anew if not given).

        Raises:
            RunRecordError: its status can't be read.
        """
        return {
            "id": run.info.id,
            "name": run.info.name,
            "directory": self._places.relative(run.path),
            "notebook": self._places.relative(run.info.notebook) or run.info.notebook,
            "created": run.info.created,
            "status": (status or run.status()).to_json(),
        }

    def _describe_runs(self) -> list[dict[str, Any]]:
        found: list[tuple[RunDirectory, RunStatus]] = []
        for run in self._places.runs():
            with contextlib.suppress(RunError):
                found.append((run, run.status()))
        found.sort(key=lambda pair: not pair[1].is_active)  # stable: the newest first among equals
        described: list[dict[str, Any]] = []
        for run, status in found:
            if len(described) == self._recent:
                break
            with contextlib.suppress(RunError):  # removed since it was listed
                line = self._readers.sparkline(run)
                described.append({**self.describe_run(run, status), "sparkline": line})
        return described


def _describe_kernel(kernel: dict[str, Any], use: ProcessUse | None) -> dict[str, Any]:
    execution_state = kernel.get("execution_state") or "unknown"
    return {
        "id": kernel["id"],
        "name": kernel["name"],
        "state": execution_state if execution_state in STARTING else "running",
        "path": kernel["path"],
        "pid": kernel["pid"],
        "cpu_percent": use and use.cpu_percent,
        "memory": use and use.memory,
        "gpu_memory": {str(index): size for index, size in use.gpu_memory.items()} if use else {},
        "started": use and datetime.fromtimestamp(use.started, UTC).isoformat(),
        "execution_state": execution_state,
        "last_activity": kernel.get("last_activity"),
    }
