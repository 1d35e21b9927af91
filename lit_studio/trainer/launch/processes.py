"""The launcher of ``ddp_spawn``, ``ddp_fork`` and ``ddp_notebook``: ranks are new processes, which end with the call.

It must not know what the ranks compute; what a Trainer has become on rank 0 comes back by ``harvest``.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.multiprocessing import get_context

from lit_studio.base.errors import InvalidTypeError, InvalidValueError, MisconfigurationException
from lit_studio.trainer.environments import LightningEnvironment
from lit_studio.trainer.launch import harvest
from lit_studio.trainer.launch.base import Launcher, settle_in
from lit_studio.trainer.launch.failures import Failure, first_of
from lit_studio.trainer.launch.pickling import unpicklable_part
from lit_studio.trainer.launch.relay import Relay, Viewers, shows_here
from lit_studio.trainer.launch.watch import end_all, wait_for
from lit_studio.trainer.observation import Audience

if TYPE_CHECKING:
    from lit_studio.trainer.strategies.parallel import ParallelStrategy

SYMPATHY = 0.5  # seconds after the first failure in which others may turn out to have been earlier
FAREWELL = 10.0  # seconds for which a rank that has told its answer may take to end
UNWIND = 5.0  # seconds that ranks have after ^C to save and close what they want to
IN_NOTEBOOK = "popen in a notebook"


class ProcessLauncher(Launcher):
    """Starts a process for each rank of this machine; this process waits, and is none of them.

    Args:
        strategy: whose ranks these are.
        method: ``"spawn"``, ``"fork"`` or ``"forkserver"``; in a notebook ``"popen"`` becomes ``"fork"``.
    """

    def __init__(self, strategy: ParallelStrategy, method: str):
        self._strategy = strategy
        self._replaces_script = method == IN_NOTEBOOK
        self._method = "fork" if self._replaces_script else method
        if self._method not in multiprocessing.get_all_start_methods():
            raise InvalidValueError(
                f"The start method '{self._method}' is not available on this platform",
                value=self._method,
                valid=f"one of {', '.join(multiprocessing.get_all_start_methods())}",
            )
        self._processes: list[_Rank] = []
        self._refuse_prompt()

    @property
    def is_interactive_compatible(self) -> bool:
        """Whether the ranks are forked: a new interpreter doesn't know what a notebook defines."""
        return self._method == "fork"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_processes": []}

    def _refuse_prompt(self) -> None:
        from lit_studio.trainer.strategies import is_interactive

        if is_interactive() and not self.is_interactive_compatible:
            raise MisconfigurationException(
                f"start_method='{self._method}' is not compatible with an interactive environment: a new interpreter "
                "doesn't know what was defined here",
                advice="Run your code as a script, or use strategy='ddp_notebook'.",
            )

    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        """Call ``function`` on ranks that are new processes; see :class:`Launcher`.

        Raises:
            MisconfigurationException: CUDA was used in this process, so that it can't be forked.
            InvalidTypeError: something that is to be sent can't be pickled; named by its place.
        """
        if self._method == "fork":
            self._check_fork()
        environment = self._strategy.environment
        meeting = {"MASTER_ADDR": environment.main_address, "MASTER_PORT": str(environment.main_port)}
        job = (function, args, kwargs, self._strategy, trainer, meeting, os.getpid(), self._method, shows_here())
        interrupted, viewers = False, Viewers()
        try:
            self._start(job, viewers)
            interrupted = self._wait()
            found = self._outcome(interrupted)
        finally:
            for rank in self._processes:
                rank.close()
            self._processes = []
            viewers.close()
            if isinstance(environment, LightningEnvironment):
                environment.forget_port()
        if found is None:
            return self._interrupted(trainer)
        if trainer is None:
            return found["answer"]
        module = _module_of(trainer, args)
        return harvest.restore(trainer, module, found)

    def enter(self) -> None:
        """Raise InvalidTypeError: ranks that are new processes end with their function."""
        raise InvalidTypeError(
            f"To spawn processes with the `{self._method}` start method, `.launch()` needs to be called with a "
            "function that contains the code to launch in processes",
            value=None,
        )

    def kill(self, signum: int = signal.SIGTERM) -> None:
        """Send a signal to the ranks."""
        for rank in self._processes:
            rank.send(signum)

    def _check_fork(self) -> None:
        if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            raise MisconfigurationException(
                "Lit Studio can't create new processes if CUDA is already initialized. Did you manually call "
                "`torch.cuda.*` functions, have moved the model to the device, or allocated memory on the GPU any "
                "other way?",
                advice="Remove any such calls, restart the kernel and train first, or use strategy='ddp' in a script.",
            )
        if self._replaces_script:
            print(  # noqa: T201 - a person at a prompt has asked for something else
                "strategy='ddp' runs a script once more for each rank, and there is none here: the ranks are forked "
                "from this process instead, as with 'ddp_notebook'."
            )

    # Starting and waiting ---------------------------------------------------------------------------------------

    def _start(self, job: tuple[Any, ...], viewers: Viewers) -> None:
        strategy, context = self._strategy, get_context(self._method)
        if self._method == "fork":  # torch imports it with a process's first optimizer, for seconds: once, not per rank
            importlib.import_module("torch._dynamo")
        _flush()
        try:
            for local_rank in range(strategy.num_processes):
                first = strategy.node_rank * strategy.num_processes
                self._processes.append(_Rank(context, local_rank, first, job, viewers))
        except BaseException as error:
            end_all(self._processes, 0.2)
            if isinstance(error, pickle.PicklingError | AttributeError | TypeError):
                self._explain(job, error)
            raise

    def _explain(self, job: tuple[Any, ...], error: Exception) -> None:
        function, args, kwargs = job[:3]
        names: dict[str, Any] = {"the function": function, "kwargs": kwargs}
        for index, arg in enumerate(args):
            names.update(_named(index, arg))
        for name, value in names.items():
            if (culprit := unpicklable_part(value, name)) is not None:
                raise InvalidTypeError(
                    f"start_method='{self._method}' sends everything to new processes by pickling, and "
                    f"`{culprit[0]}` can't be pickled ({error})",
                    value=culprit[1],
                    advice="Define it at the top of a module (no lambda, no local function or class), make it in "
                    "`setup()`, or use strategy='ddp' or 'ddp_fork', which pickle nothing.",
                ) from error

    def _wait(self) -> bool:
        """Wait until all ranks have ended; whether ^C was pressed."""
        interrupted, told_at = False, 0.0
        while not self._all_ended():
            try:
                connection.wait([one for rank in self._processes if rank.runs for one in rank.signs], 0.5)
                if any(rank.failure for rank in self._processes):
                    self._clear_up()
                elif all(rank.told for rank in self._processes):  # what is left is to close connections
                    told_at = told_at or time.monotonic()
                    if time.monotonic() - told_at > FAREWELL:
                        self._end()
            except KeyboardInterrupt:
                interrupted = True
                self._unwind()
        return interrupted

    def _clear_up(self) -> None:
        until = time.monotonic() + SYMPATHY
        while any(rank.runs for rank in self._processes) and time.monotonic() < until:
            connection.wait([one for rank in self._processes if rank.runs for one in rank.signs], 0.05)
            for rank in self._processes:
                rank.listen()
        self._end()

    def _end(self) -> None:
        for rank in self._processes:
            rank.ended_by_us = rank.runs
        end_all(self._processes)
        self._all_ended()

    def _unwind(self) -> None:
        """^C reaches the ranks from the terminal; those that it didn't reach get it from here."""
        try:
            if not wait_for(self._all_ended, SYMPATHY):
                self.kill(signal.SIGINT)
            wait_for(self._all_ended, UNWIND)
        except KeyboardInterrupt:  # a second time: at once
            pass
        self._end()

    def _all_ended(self) -> bool:
        for rank in self._processes:
            rank.listen()
        return not any(rank.runs for rank in self._processes)

    def _outcome(self, interrupted: bool) -> dict[str, Any] | None:
        failures = [rank.failure for rank in self._processes if rank.failure is not None]
        interrupted = interrupted or any(failure.interrupted for failure in failures)
        answer = self._processes[0].answer
        if interrupted:
            return answer
        if failures:
            first = first_of(failures)
            unguarded = self._method != "fork" and first.exit_code == 1
            advice = (
                "What it said stands above. In a script, the lines that start the training belong below "
                "`if __name__ == '__main__':`, for each new process runs the others."
            )
            raise first.to_error(advice if unguarded else None)
        return answer

    def _interrupted(self, trainer: Any) -> None:
        from lit_studio.trainer.state import TrainerStatus
        from lit_studio.trainer.strategies import is_interactive

        if trainer is not None:
            trainer.state.status = TrainerStatus.INTERRUPTED
        if not is_interactive():
            sys.exit(1)


class _Rank:
    """One rank's process, and what it has told."""

    def __init__(self, context: Any, local_rank: int, first: int, job: tuple[Any, ...], viewers: Viewers):
        self.rank = first + local_rank
        self._viewers = viewers
        self.failure: Failure | None = None
        self.answer: dict[str, Any] | None = None
        self.ended_by_us = False
        self._reader, writer = context.Pipe(duplex=False)
        # Not a daemon: loaders in it may have workers of their own.
        self._process = context.Process(target=_work, args=(local_rank, self.rank, writer, job), daemon=False)
        self._process.start()
        writer.close()
        self.pid: int = self._process.pid
        self.told = self._closed = False

    @property
    def runs(self) -> bool:
        """Whether it is alive."""
        return self._process.exitcode is None

    @property
    def signs(self) -> list[Any]:
        """What becomes ready when it tells something or ends."""
        return [self._process.sentinel] if self._closed else [self._process.sentinel, self._reader]

    def exit_code(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._process.exitcode

    def send(self, signum: int) -> None:
        """Send it a signal."""
        if self.runs:
            os.kill(self.pid, signum)

    def listen(self) -> None:
        """Take what it told; ending without a word is a failure."""
        ended = not self.runs  # before looking for its last word: it may say it, and end, in between
        while not self._closed and self._reader.poll():
            try:
                kind, found = pickle.loads(self._reader.recv_bytes())  # noqa: S301 - ours
            except EOFError:
                self._closed = True
                break
            if kind == "event":
                self._viewers.observe(found)
                continue
            self.told = self._closed = True
            if kind == "answer":
                self.answer = found
            else:
                self.failure = found
        if ended and not self.told and not self.ended_by_us and self.failure is None:
            self.failure = Failure(self.rank, self.pid, exit_code=self._process.exitcode)

    def close(self) -> None:
        """Let go of it."""
        end_all([self])
        self._process.join()
        self._process.close()
        self._reader.close()


def _work(local_rank: int, rank: int, writer: Any, job: tuple[Any, ...]) -> None:
    """What a new process does."""
    function, args, kwargs, strategy, trainer, meeting, parent, method, shown = job
    os.environ.update(meeting, LOCAL_RANK=str(local_rank))
    settle_in(rank, parent, strategy.num_processes)
    if method == "fork":
        torch.set_num_threads(1)  # more would wait for threads that a fork leaves behind
    signal.signal(signal.SIGINT, _interrupt_once)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        _own_weights([args, kwargs, getattr(trainer, "_module", None)])
        if shown:
            Audience.relay = functools.partial(Relay, writer.send_bytes)
        strategy.launcher = None  # a call within this one stays on these ranks
        strategy.become(local_rank)
        answer = function(*args, **kwargs)
        found: Any = None
        if rank == 0:
            found = {"answer": answer} if trainer is None else harvest.gather(trainer, answer)
        message = "answer", found
        packed = pickle.dumps(message)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the caller must hear of it
        packed = pickle.dumps(("failure", Failure.of(rank, os.getpid(), error)))
    writer.send_bytes(packed)
    writer.close()
    _flush()
    _leave()


def _leave() -> None:
    from lit_studio.trainer.strategies.parallel import leave_process_group

    leave_process_group()


def _interrupt_once(*_: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's and the caller's may both arrive
    raise KeyboardInterrupt


def _own_weights(value: Any) -> None:
    """Copy the weights of every module in ``value``: on the CPU the processes would share one memory."""
    found: list[nn.Module] = []
    stack, seen = [value], set()
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, nn.Module):
            found.append(one)
        elif isinstance(one, dict):
            stack.extend(one.values())
        elif isinstance(one, list | tuple):
            stack.extend(one)
        elif hasattr(one, "model") and hasattr(one, "fn"):  # what the Trainer was asked to do
            stack.append(one.model)
    for module in found:
        for tensor in itertools.chain(module.parameters(), module.buffers()):
            if tensor.is_shared():  # type: ignore[no-untyped-call]
                tensor.data = tensor.data.clone()


def _module_of(trainer: Any, args: tuple[Any, ...]) -> Any:
    models = (arg.model for arg in args if hasattr(arg, "fn") and arg.model is not None)
    model = next(models, trainer._module)
    return getattr(model, "_orig_mod", model)


def _named(index: int, arg: Any) -> dict[str, Any]:
    """What a person calls the parts of what is sent."""
    kind = type(arg).__name__
    if kind == "Call":
        return {"model": arg.model, "datamodule": arg.datamodule, "dataloaders": (arg.loaders, arg.more)}
    if kind in ("Trainer", "Fabric") or hasattr(arg, "callbacks"):
        return {f"{kind.lower()}.{name}": value for name, value in vars(arg).items()}
    return {f"args[{index}]": arg}


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
