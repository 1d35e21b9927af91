"""``lit-studio run SCRIPT``: run a Python script as it is, and end with the numbers of the runs that it made.

It must not know what the script does; its own output goes to the terminal untouched.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from lit_studio.base.errors import InvalidValueError
from lit_studio.cli import terminal
from lit_studio.cli.progress import Follower
from lit_studio.cli.runs import describe_result, show_result
from lit_studio.studio import words

PATIENCE = 10.0
_INTERRUPTED = 130


def run_script(path: Path, timeout: float | None, as_json: bool) -> int:
    """Run the script at ``path``.

    Args:
        path: the script.
        timeout: seconds, None for no limit.
        as_json: print one JSON object on stdout; what the script prints goes to stderr then.

    Returns:
        the exit status: 0, 1 (it failed or time was up) or 130.

    Raises:
        InvalidValueError: there is no such file.
    """
    if not path.is_file():
        raise InvalidValueError("There is no such script", value=str(path))
    began = time.time()
    with subprocess.Popen([sys.executable, str(path)], stdout=sys.stderr if as_json else None) as process, _patient():
        state = _wait(process, timeout)
    runs = Follower(process.pid, began).look()
    if as_json:
        terminal.print_json(
            {
                "script": str(path.resolve()),
                "state": state,
                "exit_status": process.returncode,
                "seconds": round(time.time() - began, 3),
                "runs": [describe_result(run, status, began) for run, status in runs],
            }
        )
    else:
        if state == "timeout":
            terminal.fail(f"Time was up after {words.duration(timeout or 0)}.")
        for run, status in runs:
            show_result(run, status, began)
    return {"finished": 0, "interrupted": _INTERRUPTED}.get(state, 1)


@contextlib.contextmanager
def _patient() -> Iterator[None]:
    # ^C reaches the script by itself; we wait for what it makes of it.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _wait(process: subprocess.Popen[bytes], timeout: float | None) -> str:
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
        return "timeout"
    if process.returncode in (-signal.SIGINT, _INTERRUPTED):
        return "interrupted"
    return "failed" if process.returncode else "finished"
