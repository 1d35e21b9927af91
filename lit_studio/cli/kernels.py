"""``lit-studio kernels``: what runs, what it prints, a console on it, and its end; with a server or without one.

It must not know how a kernel is kept; it reads what its keeper and the kernel itself have written.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.text import Text

from lit_studio.base.errors import KernelError, KernelNotFoundError, MissingDependencyError
from lit_studio.cli import terminal
from lit_studio.kernels.adoption import KnownKernel, known_kernels, stop
from lit_studio.kernels.journal import FOLDED, MESSAGE, JournalReader, Record
from lit_studio.kernels.state import read_state
from lit_studio.studio import words

_COLOURS = {"busy": "blue", "idle": "green", "starting": "yellow"}
FOLLOW_EVERY = 0.1  # seconds
STOP_PATIENCE = 5.0


def list_kernels(every: bool, as_json: bool) -> None:
    """Print the kernels that live, or all that are known."""
    found = sorted(known_kernels(living=not every), key=lambda kernel: -kernel.state.started)
    if as_json:
        terminal.print_json({"kernels": [describe(kernel) for kernel in found]})
        return
    if not found:
        terminal.note("No kernel runs here. Kernels that a notebook starts are listed while they live.")
        return
    rows = []
    for kernel in found:
        told, now = describe(kernel), time.time()
        state = Text(told["state"], style=_COLOURS.get(told["state"], ""))
        since = words.duration(max(0.0, now - told["since"])) if told["since"] else ""
        cell = f"[{told['count']}]" if told["count"] else ""
        up = words.duration(max(0.0, (told["ended"] or now) - told["started"]))
        rows.append((told["id"][:8], told["name"], state, cell, since, up, str(told["pid"]), told["notebook"]))
    columns = ("id", "name", "state", "cell", "since", "uptime", ">pid", "notebook")
    terminal.data().print(terminal.table(columns, rows))


def describe(kernel: KnownKernel) -> dict[str, Any]:
    """What ``--json`` tells of a kernel; the keys are stable."""
    execution, state = kernel.execution, kernel.state
    return {
        "id": kernel.place.kernel_id,
        "name": kernel.spec.kernel_name,
        "notebook": kernel.spec.environment.get("JPY_SESSION_NAME", ""),
        "state": execution.state if state.is_alive else "ended",
        "since": execution.since,
        "count": execution.count,
        "started": state.started,
        "ended": state.ended,
        "exit_code": state.exit_code,
        "pid": state.pid,
        "server": kernel.owner.pid if kernel.owner.is_alive else None,
        "connection_file": kernel.spec.connection_file,
        "cull_at": state.cull_at,
    }


def find_kernel(which: str, living: bool = True) -> KnownKernel:
    """The kernel that ``which`` means: the beginning of its id, or of its notebook's name.

    Raises:
        KernelNotFoundError: none is meant, or several are.
    """
    known = list(known_kernels(living=living))
    found = [kernel for kernel in known if kernel.place.kernel_id.startswith(which)]
    if not found:
        named = [(Path(kernel.spec.environment.get("JPY_SESSION_NAME", "")).name, kernel) for kernel in known]
        found = [kernel for name, kernel in named if name and name.startswith(which)]
    if len(found) == 1:
        return found[0]
    what = "Several kernels are meant by this" if found else "No kernel has this id or notebook"
    ids = ", ".join(kernel.place.kernel_id[:8] for kernel in found or known)
    advice = f"There are: {ids}" if ids else "lit-studio kernels list --all · shows those that have ended, too"
    raise KernelNotFoundError(what, value=which, advice=advice)


def attach(which: str) -> int:
    """Run a console on a kernel until the person leaves it, and return its exit status; the kernel stays.

    Raises:
        MissingDependencyError: there is no console.
    """
    if importlib.util.find_spec("jupyter_console") is None:
        raise MissingDependencyError("jupyter-console", extra="console", purpose="lit-studio kernels attach")
    kernel = find_kernel(which)
    command = [sys.executable, "-m", "jupyter_console", "--existing", kernel.spec.connection_file]
    assert kernel.connection  # the file is there, even if somebody has removed it
    return subprocess.call(command)


def show_logs(which: str, follow: bool, as_json: bool) -> None:
    """Print what a kernel has printed, and with ``follow`` what it prints until it ends."""
    kernel = find_kernel(which, living=False)
    reader, out = JournalReader(kernel.place.journal), sys.stdout
    while True:
        state = read_state(kernel.place.state)  # before the journal, so that nothing comes after the last look
        for record in reader.read():
            for piece in told(record):
                out.write(json.dumps(piece) + "\n" if as_json else piece["text"])
        out.flush()
        if not follow or state is None or not state.is_alive:
            return
        time.sleep(FOLLOW_EVERY)


def told(record: Record) -> Iterator[dict[str, Any]]:
    """What a record of the journal shows in a terminal: pieces with ``time``, ``kind`` and ``text``."""
    if record.kind == FOLDED:
        from lit_studio.kernels.reducer import Reducer

        for request in Reducer.unfold(record.parts[0]).requests():
            for output in request.outputs:
                yield {"time": request.ended or record.time, **_piece(output["output_type"], output)}
    elif record.kind == MESSAGE and len(record.parts) > 3:
        kind, asked = json.loads(record.parts[0]).get("msg_type"), json.loads(record.parts[1])
        # What nobody asked for is the kernel's own talk while it starts.
        if asked and kind in ("stream", "error", "execute_result", "display_data"):
            yield {"time": record.time, **_piece(kind, json.loads(record.parts[3]))}


def _piece(kind: str, content: dict[str, Any]) -> dict[str, str]:
    if kind == "stream":
        return {"kind": str(content.get("name", kind)), "text": _joined(content.get("text", ""))}
    if kind == "error":
        return {"kind": kind, "text": "\n".join(content.get("traceback") or [str(content.get("evalue"))]) + "\n"}
    return {"kind": kind, "text": _joined((content.get("data") or {}).get("text/plain", "")) + "\n"}


def _joined(text: Any) -> str:
    return text if isinstance(text, str) else "".join(text)


def stop_kernel(which: str, now: bool, as_json: bool) -> None:
    """End a kernel.

    Raises:
        KernelError: it doesn't end.
    """
    kernel = find_kernel(which)
    if not stop(kernel, ask_first=not now, patience=STOP_PATIENCE):
        raise KernelError("The kernel doesn't end", value=kernel.place.kernel_id, advice="Is its process stuck in I/O?")
    if as_json:
        terminal.print_json({"id": kernel.place.kernel_id, "state": "ended"})
    else:
        terminal.note(f"Kernel {kernel.place.kernel_id[:8]} has ended.")
