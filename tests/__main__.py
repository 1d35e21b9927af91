"""Run the parts of the test suite one after another, all of them, and say at the end which failed.

It must not know what a part tests: a part is a command, and its exit status is its result.

Use: ``python -m tests`` for all parts, ``python -m tests unit browser`` for some.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTEST = [sys.executable, "-m", "pytest", "--color=yes" if sys.stdout.isatty() else "--color=no"]
UNIT = ("unit", "server", "contracts", "gpu", "notebooks")
CLOSING_LINE = re.compile(r"=+ (.* in [\d.]+m?s.*?) =+$|^\s+(Tests\s+.*(?:passed|failed|skipped).*)$")
COLOUR = re.compile(r"\x1b\[[\d;]*m")


@dataclass(frozen=True)
class Result:
    """How a part ended: exit status (0 is good), seconds, and the runner's own closing line."""

    status: int
    seconds: float
    closing_line: str


def pytest_part(*folders: str) -> list[str]:
    """pytest over those of ``folders`` that exist."""
    return [*PYTEST, *(folder for folder in folders if (ROOT / folder).is_dir())]


def notebook_part(scratch: Path) -> list[str]:
    """nbval over copies of the notebooks, so that the runs they write don't land beside the sources."""
    ignored = shutil.ignore_patterns("lightning_logs", ".ipynb_checkpoints")
    folders = [folder for folder in ("guide", "howto") if (ROOT / "notebooks" / folder).is_dir()]
    copies = [shutil.copytree(ROOT / "notebooks" / folder, scratch / folder, ignore=ignored) for folder in folders]
    options = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(scratch), "--nbval-lax", "--nbval-current-env"]
    return [*PYTEST, *options, *map(str, copies)]


def parts(scratch: Path) -> dict[str, tuple[list[str], Path]]:
    """Each part's command and the folder it runs in, in the order in which they run."""
    return {
        "labextension": (["jlpm", "test"], ROOT / "labextension"),
        "unit": (pytest_part(*(f"tests/{folder}" for folder in UNIT)), ROOT),
        # Beside the real Lightning of `make bench-peers`; skipped without it.
        "peers": (pytest_part("tests/peers"), ROOT),
        # Ranks are forked from this process, which must not have run much before: threads don't survive a fork.
        "distributed": (pytest_part("tests/distributed"), ROOT),
        # A call of its own: Playwright's synchronous API leaves an event loop running, which breaks the server tests.
        "browser": (pytest_part("tests/browser"), ROOT),
        "notebooks": (notebook_part(scratch), ROOT),
    }


def run(name: str, command: list[str], folder: Path, home: Path) -> Result:
    """Run one part, passing its output through as it comes."""
    print(f"\n──── {name}: {' '.join(command[2:] if command[0] == sys.executable else command)}", flush=True)
    began, closing_line = time.monotonic(), ""
    # One thread: on a busy machine with few cores, a small model's threads wait for each other most of the time.
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "LIT_STUDIO_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if match := CLOSING_LINE.search(COLOUR.sub("", line).rstrip()):
                closing_line = (match[1] or match[2]).strip()
    return Result(process.returncode, time.monotonic() - began, closing_line)


def main(names: list[str]) -> int:
    """Run the parts called ``names`` (all if empty); 0 if every one passed, 1 if any failed, 2 if a name is unknown."""
    with tempfile.TemporaryDirectory(prefix="lit-studio-tests-") as folder:
        scratch = Path(folder)
        known = parts(scratch / "notebooks")
        if unknown := [name for name in names if name not in known]:
            print(f"No such part: {', '.join(unknown)}. There are: {', '.join(known)}.", file=sys.stderr)
            return 2
        results = {name: run(name, *known[name], scratch / "home") for name in names or known}
    print("\n──── summary")
    for name, result in results.items():
        verdict = "passed" if result.status == 0 else f"FAILED (exit {result.status})"
        print(f"{name:14}{verdict:18}{result.seconds:6.0f} s   {result.closing_line}")
    return int(any(result.status for result in results.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
