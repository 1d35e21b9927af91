"""The usage record: one line for each kernel that ended, of when it ran, on what, and how much memory it took at most.

It must not know prices, budgets or people: it writes down what was used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lit_studio.kernels.state import KernelSpec, KernelState


def usage_file() -> Path:
    """Where the records lie, one JSON object a line."""
    from jupyter_core.paths import jupyter_data_dir  # a keeper needs this at its very end only

    return Path(jupyter_data_dir()) / "lit-studio" / "usage.jsonl"


def write_usage(spec: KernelSpec, state: KernelState, peak_memory: int) -> None:
    """Append a record; several keepers may do so at once. A disk that is full loses it and nothing else.

    Args:
        spec: of the kernel.
        state: after its end.
        peak_memory: bytes.
    """
    record = {
        "kernel_id": spec.kernel_id,
        "kernel_name": spec.kernel_name,
        "started": state.started,
        "ended": state.ended,
        "exit_code": state.exit_code,
        "devices": spec.environment.get("CUDA_VISIBLE_DEVICES"),
        "peak_memory": peak_memory,
        "culled": state.culled,
    }
    path = usage_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, json.dumps(record).encode() + b"\n")  # one write, so that lines don't mix
        finally:
            os.close(file)
    except OSError:
        pass


def read_usage() -> Iterator[dict[str, Any]]:
    """All records, oldest first; a line that is cut off is passed over."""
    try:
        lines = usage_file().read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue
