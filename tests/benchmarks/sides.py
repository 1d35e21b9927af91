"""The processes of a benchmark: one for each library, in an environment of its own, asked in turn.

It must not know what is measured.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.workload import Task

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers" / "bin" / "python"


class Side:
    """A process that trains on request, with a terminal of its own to draw on."""

    def __init__(self, python: str):
        terminal, end = pty.openpty()
        answers, results = os.pipe()
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "TERM": "xterm",
            "COLUMNS": "100",
            "PYTHONWARNINGS": "ignore",
        }
        self.process = subprocess.Popen(
            [python, "-m", "tests.benchmarks.loop_side", str(results)],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=end, stderr=end, pass_fds=[results], text=True,
        )  # fmt: skip
        os.close(end)
        os.close(results)
        self.drawn = bytearray()
        self.answers = os.fdopen(answers)
        threading.Thread(target=self._watch, args=(terminal,), daemon=True).start()

    def _watch(self, terminal: int) -> None:
        try:
            while data := os.read(terminal, 65_536):
                self.drawn += data
        except OSError:  # the other end is closed
            pass

    def ask(self, **request: Any) -> Any:
        """The answer to ``request``, see ``loop_side.answer``."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        if answer := self.answers.readline():
            return json.loads(answer)
        raise SystemExit(f"The side that was asked {request} ended:\n{self.drawn[-4000:].decode(errors='replace')}")

    def train(self, variant: str, task: Task, *, count: bool = False) -> Any:
        """Have ``variant`` train ``task``; its timings by block, or its counts."""
        return self.ask(variant=variant, task=asdict(task), count=count)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def both() -> dict[str, Side]:
    """Our side and, where it is installed, Lightning's."""
    sides = {"ours": Side(sys.executable)}
    if PEERS.exists():
        sides["Lightning"] = Side(str(PEERS))
    else:
        print("Lightning is left out: `make bench-peers` installs it.")
    return sides
