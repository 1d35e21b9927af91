"""For tests that start kernels, ours and other people's: ends all that is left of them.

It must not know any test.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from lit_studio.kernels.places import KernelPlace
from lit_studio.kernels.state import read_spec, read_state


def end_kernels(runtime_dir: Path) -> list[str]:
    """Kill every kernel and keeper whose files lie below ``runtime_dir``, and return the kernels' ids.

    Args:
        runtime_dir: what ``JUPYTER_RUNTIME_DIR`` was for the test, or a folder above it.
    """
    places = [KernelPlace(path.parent) for path in sorted(runtime_dir.rglob("lit-studio/kernels/*/spec.json"))]
    ended = []
    for place in places:
        place.ending.touch()
        spec, until = read_spec(place.spec), time.monotonic() + 5.0
        # A keeper that is just starting has nothing to say yet.
        while (state := read_state(place.state)) is None or (spec is not None and state.launch != spec.launch):
            if time.monotonic() > until:
                break
            time.sleep(0.02)
        if state is None:
            continue
        if state.is_alive:
            ended.append(place.kernel_id)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(state.pid, signal.SIGKILL)
        while state is not None and state.is_kept and time.monotonic() < until:  # it writes its record, and ends
            time.sleep(0.02)
            state = read_state(place.state)
        if state is not None and state.is_kept:
            os.kill(state.keeper_pid, signal.SIGKILL)
    return ended
