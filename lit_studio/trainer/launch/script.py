"""The launcher of ``strategy="ddp"``: this script is rank 0, and a copy of it runs for each other rank of the machine.

Where torchrun, Slurm or another started the ranks, there is nothing to start, and each just goes on. It must not know
what the ranks compute.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import distributed as dist

import __main__
from lit_studio.base.errors import InvalidStateError, MisconfigurationException
from lit_studio.base.files import draft_of
from lit_studio.trainer.launch.base import Launcher, settle_in, share_cores
from lit_studio.trainer.launch.failures import Failure, first_of
from lit_studio.trainer.launch.watch import POLL, end_all, wait_for

if TYPE_CHECKING:
    from lit_studio.trainer.strategies.parallel import ParallelStrategy

PARENT = "LIT_STUDIO_PARENT"  # in a copy: the process that started it
REPORTS = "LIT_STUDIO_RANK_REPORTS"  # in a copy: the folder into which it writes what went wrong
SYMPATHY = 1.0  # seconds for which a rank that fails may be the second to do so
FAREWELL = 30.0  # seconds that copies have to end after this process's own end


class _Copy:
    """One copy of the script."""

    def __init__(self, rank: int, command: list[str], environment: dict[str, str]):
        self.rank = rank
        self._process = subprocess.Popen(command, env=environment)
        self.pid = self._process.pid

    def exit_code(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._process.poll()

    def send(self, signum: int) -> None:
        """Send it a signal."""
        self._process.send_signal(signum)


class _Copies:
    """All copies of this process's script; they live as long as it does, through several calls."""

    def __init__(self) -> None:
        self.all: list[_Copy] = []
        self.ended = False
        self._folder = Path()
        self._calls = 0

    def start(self, strategy: ParallelStrategy) -> None:
        """Run the script once more for each other local rank.

        Raises:
            MisconfigurationException: there is no script.
        """
        command = _own_command()
        environment = strategy.environment
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
        os.environ["NODE_RANK"], os.environ["WORLD_SIZE"] = str(environment.node_rank()), str(strategy.world_size)
        share_cores(strategy.num_processes)
        self._folder = Path(tempfile.mkdtemp(prefix="lit-studio-ranks-"))
        atexit.register(self._leave)
        for local_rank in range(1, strategy.num_processes):
            rank = strategy.global_rank - strategy.local_rank + local_rank
            told = {"LOCAL_RANK": str(local_rank), PARENT: str(os.getpid()), REPORTS: str(self._folder)}
            self.all.append(_Copy(rank, command, {**os.environ, **told}))
        os.environ["LOCAL_RANK"] = str(strategy.local_rank)

    def failures(self) -> list[Failure]:
        """What the copies have reported, and those that ended without a word."""
        found = []
        for copy in self.all:
            code = copy.exit_code()
            reported = _read(self._folder / f"rank-{copy.rank}")
            if reported is not None:
                found.append(reported)
            elif code is not None and not (code == 0 and self._is_through(copy.rank)):
                found.append(Failure(copy.rank, copy.pid, exit_code=code))
        return found

    def _is_through(self, rank: int) -> bool:
        """Whether ``rank`` has come to the end of the call that is under way here; then it may well be gone."""
        try:
            return int((self._folder / f"through-{rank}").read_text()) >= self._calls
        except (FileNotFoundError, ValueError):
            return False

    def forget_reports(self) -> None:
        """A new call begins."""
        self._calls += 1
        for path in self._folder.glob("rank-*"):
            path.unlink(missing_ok=True)

    def end(self, grace: float = 2.0) -> None:
        """End all of them."""
        self.ended = True
        end_all(self.all, grace)

    def _leave(self) -> None:
        """This process ends: after an error at once, otherwise the copies come to the end of the script too."""
        failed = getattr(sys, "last_value", None) is not None
        wait_for(lambda: all(one.exit_code() is not None for one in self.all), POLL if failed else FAREWELL)
        end_all(self.all)
        shutil.rmtree(self._folder, ignore_errors=True)


_copies = _Copies()
_settled = False
_calls = 0  # that a copy has begun


class ScriptLauncher(Launcher):
    """Runs the script once more for each local rank but the first, the first time something is launched.

    Args:
        strategy: whose ranks these are.
    """

    def __init__(self, strategy: ParallelStrategy):
        self._strategy = strategy

    @property
    def is_interactive_compatible(self) -> bool:
        """False: there is no script."""
        return False

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Call ``function`` in this process, which is one of the ranks; see :class:`Launcher`."""
        strategy = self._strategy
        if not strategy.environment.creates_processes_externally:
            _copies.start(strategy)
        global _settled
        if not _settled:
            _settled, parent = True, os.environ.get(PARENT)
            settle_in(strategy.global_rank, int(parent) if parent else None, strategy.num_processes)
        if _copies.all:
            return self._lead(function, *args, **kwargs)
        return self._follow(function, *args, **kwargs)

    def _follow(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        global _calls
        _calls += 1
        folder, rank = os.environ.get(REPORTS), self._strategy.global_rank
        try:
            answer = function(*args, **kwargs)
            if folder:  # rank 0 may still be winding up when this process ends
                (Path(folder) / f"through-{rank}").write_text(str(_calls))
            return answer
        except BaseException as error:
            if folder:
                _write(Path(folder) / f"rank-{rank}", Failure.of(rank, os.getpid(), error))
            raise

    def _lead(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if _copies.ended:
            raise InvalidStateError("The other ranks have ended", advice="Start the script again.")
        _copies.forget_reports()
        guard = _Guard()
        try:
            with guard:
                return function(*args, **kwargs)
        except BaseException as error:
            own = Failure.of(self._strategy.global_rank, os.getpid(), error)
            wait_for(_copies.failures, SYMPATHY)
            others = _copies.failures()
            if isinstance(error, KeyboardInterrupt | SystemExit) and not guard.woke:
                _copies.end()
                raise
            if len(others) == len(_copies.all) and all(one.words == own.words for one in others):
                raise  # an error of the program's on all ranks alike, which may be caught on all of them
            _copies.end()
            first = first_of([own, *others])
            if first is own:
                raise
            failure = first.to_error()
            raise failure from (failure.__cause__ or error)

    def enter(self) -> None:
        """Start the copies, and watch over them till the program ends."""
        self.launch(bool)  # which does nothing
        if _copies.all:
            _Guard().__enter__()

    def kill(self, signum: int = signal.SIGTERM) -> None:
        """Send a signal to the copies."""
        for copy in _copies.all:
            copy.send(signum)


class _Guard:
    """Watches the copies while this rank works, and gets it out of waiting for one that will never come."""

    def __init__(self) -> None:
        self.woke = False
        self._main = threading.get_ident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="lit-studio-ranks")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(5 * POLL):
            if _copies.failures():
                break
        else:
            return
        if self._over.wait(SYMPATHY):  # this rank has seen it by itself, as is usual
            return
        _copies.end()  # which closes their connections, if this rank waits for one of them
        _abort_collectives()
        if self._over.wait(SYMPATHY):
            return
        self.woke = True
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._main), ctypes.py_object(KeyboardInterrupt))
        if not self._over.wait(10 * SYMPATHY):
            error = first_of(_copies.failures()).to_error()
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the last words
            os._exit(1)


def _abort_collectives() -> None:
    """On CUDA an operation of all ranks goes on waiting for one that is gone, until it is told to stop."""
    if dist.is_initialized() and dist.get_backend() == "nccl":
        group: Any = dist.group.WORLD
        getattr(group, "abort", lambda: None)()


def _own_command() -> list[str]:
    spec, script = getattr(__main__, "__spec__", None), sys.argv[0] if sys.argv else ""
    if spec is not None and spec.name:
        name = spec.name.removesuffix(".__main__")
        return [sys.executable, *_interpreter_flags(), "-m", name, *sys.argv[1:]]
    if not Path(script).is_file():
        raise MisconfigurationException(
            "strategy='ddp' runs the script once more for each rank, and this program is no script",
            value=script,
            advice="Save it as a file, or use strategy='ddp_spawn' or 'ddp_fork'.",
        )
    return [sys.executable, *_interpreter_flags(), str(Path(script).resolve()), *sys.argv[1:]]


def _interpreter_flags() -> list[str]:
    return subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]


def _write(path: Path, failure: Failure) -> None:
    draft = draft_of(path)
    draft.write_bytes(pickle.dumps(failure))
    draft.replace(path)


def _read(path: Path) -> Failure | None:
    try:
        found: Failure = pickle.loads(path.read_bytes())  # noqa: S301 - from a process of ours
    except FileNotFoundError:
        return None
    return found
