"""Two ranks on the CPU, and the processes that are left of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("program.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]


def environment(**more):
    """This process's, with one thread a rank and our code on the path."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "RANK", "WORLD_SIZE")}
    return {**inherited, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **more}


def run(command, seconds=60, **more):
    """Run ``command`` to its end, which must not need so many ``seconds``."""
    return subprocess.run(
        list(map(str, command)), env=environment(**more), timeout=seconds, capture_output=True, text=True
    )


def read_ranks(folder):
    """What both ranks wrote."""
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory):
    """Processes find compiled modules where the first one has left them, even where Python is told to keep none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("compiled")))
        yield


@pytest.fixture(scope="session")
def torchrun(tmp_path_factory):
    """All parts of the program under torchrun; what both ranks found."""
    folder = tmp_path_factory.mktemp("torchrun")
    home = tmp_path_factory.mktemp("home")
    done = run(
        [*TORCHRUN, PROGRAM, folder, "talk", "data", "stop", "person", "special"], 120, LIT_STUDIO_HOME=str(home)
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return read_ranks(folder)


class Script:
    """A script that is started and watched."""

    def __init__(self, path, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, str(path), *map(str, arguments)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.began = time.monotonic()

    def wait_for_line(self, words, seconds=40):
        """Read its output until a line has ``words``; that line."""
        for line in self.process.stdout:
            if words in line:
                return line
            assert time.monotonic() - self.began < seconds, "waited in vain"
        raise AssertionError(f"it ended without saying {words!r}")

    def family(self):
        """It and all that it has started."""
        return [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]

    def end(self):
        """Leave nothing behind."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def script(tmp_path):
    """Start a script from its source: ``script(source, *arguments)``."""
    started = []

    def start(source, *arguments):
        path = tmp_path / "script.py"
        path.write_text(source)
        started.append(Script(path, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.end()


def gone(processes, seconds):
    """Whether all ``processes`` end within so many seconds."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return all(one.status() == psutil.STATUS_ZOMBIE for one in alive)
