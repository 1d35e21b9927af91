"""Two processes that carry out the same orders, one with Lightning, one with Lit Studio."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers" / "bin" / "python"


class Side:
    """One of the two processes.

    Args:
        python: the interpreter.
        package: ``lightning`` or ``lit_studio``.
        home: where state of ours goes.
    """

    def __init__(self, python: Path | str, package: str, home: Path):
        self.package = package
        self._log = (home / f"{package}.log").open("w+")
        environment = {**os.environ, "LIT_STUDIO_HOME": str(home), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [python, Path(__file__).with_name("program.py"), package],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
            cwd=home,
        )

    def __call__(self, do: str, **order: Any) -> Any:
        """Carry out one order; fails with the other process's traceback."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and below it is said why
            self._process.stdin.write(json.dumps({"do": do, **order}, default=str) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            pytest.fail(f"{self.package} has ended:\n{self._log.read()[-4000:]}")
        answer = json.loads(line)
        if "error" in answer:
            pytest.fail(f"{self.package}: {answer['error']}")
        return answer["value"]

    def close(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()


@pytest.fixture(scope="session")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Side]]:
    """Both processes by name, ``ours`` and ``lightning``."""
    if not PEERS.exists():
        pytest.skip("Lightning is not installed in .venv-peers; `make bench-peers` installs it")
    home = tmp_path_factory.mktemp("home")
    both = {"ours": Side(sys.executable, "lit_studio", home), "lightning": Side(PEERS, "lightning", home)}
    yield both
    for side in both.values():
        side.close()
