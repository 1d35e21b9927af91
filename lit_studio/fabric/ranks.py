"""The part of Fabric that knows where it runs: devices and ranks, and what they tell one another.

It must not know loops, optimizers or loaders.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from lit_studio.base.errors import InvalidStateError, InvalidTypeError
from lit_studio.fabric.run import FabricRun
from lit_studio.trainer.accelerators import Accelerator
from lit_studio.trainer.batches import as_tensors, map_tensors, move
from lit_studio.trainer.placement import resolve_placement
from lit_studio.trainer.rank_zero import rank_zero_deprecation
from lit_studio.trainer.strategies import Strategy


class FabricRanks:
    """Resolves where to run, as the Trainer does; with one process, what ranks say to one another is what they know."""

    _run: FabricRun
    _launched = False

    def __init__(self, accelerator: Any, strategy: Any, devices: Any, num_nodes: int, precision: Any, plugins: Any):
        self._placement = resolve_placement(accelerator, strategy, devices, num_nodes, precision, plugins)
        self._accelerator, self._strategy = self._placement.accelerator, self._placement.strategy
        self._checkpoint_io, self._precision = self._placement.checkpoint_io, self._placement.precision

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith(__package__):
            return
        if (own := cls.__dict__.get("run")) is not None:  # a user's: it is launched when it is called

            @functools.wraps(own)
            def run(self: FabricRanks, *args: Any, **kwargs: Any) -> Any:
                return self.launch(_run, *args, **kwargs)

            setattr(cls, "run", run)  # noqa: B010 - a class made by a user has no such attribute for mypy

    @property
    def accelerator(self) -> Accelerator:
        """The kind of device."""
        return self._accelerator

    @property
    def strategy(self) -> Strategy:
        """How models are placed."""
        return self._strategy

    @property
    def device(self) -> torch.device:
        """Where this rank's models and batches lie."""
        return self._strategy.root_device

    @property
    def global_rank(self) -> int:
        """This process among all."""
        return self._strategy.global_rank

    @property
    def local_rank(self) -> int:
        """This process among those on this machine."""
        return self._strategy.local_rank

    @property
    def node_rank(self) -> int:
        """This machine among all."""
        return self._strategy.node_rank

    @property
    def world_size(self) -> int:
        """How many processes there are."""
        return self._strategy.world_size

    @property
    def is_global_zero(self) -> bool:
        """Whether this process is the one that writes."""
        return self._strategy.is_global_zero

    # Launching --------------------------------------------------------------------------------------------------

    def launch(self, function: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        """Start the ranks, and on each call ``function(fabric, *args, **kwargs)``; on one device there is one already.

        The run ends with the function; without one, ``launch`` may be left out.

        Args:
            function: what trains, taking the Fabric object first; None where the rest of the script does, on each rank.
            args: passed on.
            kwargs: passed on.

        Returns:
            What the function returned on rank 0.

        Raises:
            InvalidTypeError: ``function`` can't be called, or takes no argument; or there is none, and ranks are new
                processes, which need one.
        """
        launcher = self._strategy.launcher
        if function is None:
            if launcher is not None and not self._launched:
                launcher.enter()
            self._begin()
            return None
        if not callable(function):
            raise InvalidTypeError(
                "`Fabric.launch` needs a function", value=function, advice="launch(train), not launch(train())"
            )
        if not inspect.signature(function).parameters:
            raise InvalidTypeError(
                "The launched function needs to take at least one argument, the Fabric object", value=function
            )
        if launcher is not None and not self._launched:
            return launcher.launch(_work, self, function, args, kwargs)
        return _work(self, function, args, kwargs)

    def _begin(self) -> None:
        """This process is a rank from now on."""
        self._strategy.setup_environment()
        self._launched = True
        self._run.begin_on(self._strategy)

    def _need_launch(self) -> None:
        if self._strategy.launcher is not None and not self._launched:
            raise InvalidStateError(
                "To use Fabric with more than one device, you must call `.launch()` first",
                advice="fabric.launch() in a script, or fabric.launch(function) where ranks are spawned or forked.",
            )

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """For subclasses that put their whole program here; by default nothing. The run ends with it."""

    @contextmanager
    def _until_it_ends(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._run.finish(error)
            raise
        self._run.finish()

    # Between ranks ----------------------------------------------------------------------------------------------

    def barrier(self, name: str | None = None) -> None:
        """Wait for all ranks."""
        self._strategy.barrier(name)

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """``obj`` as rank ``src`` has it."""
        return self._strategy.broadcast(obj, src)

    def all_gather(self, data: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """``data`` of all ranks.

        Args:
            data: a tensor or number, or a collection of them.
            group: the ranks; all by default.
            sync_grads: whether gradients flow through.

        Returns:
            Tensors with a new first dimension of ``world_size``; on one rank without it.
        """
        tensors = as_tensors(data, self.device)
        return map_tensors(tensors, lambda tensor: self._strategy.all_gather(tensor, group, sync_grads))

    def all_reduce(self, data: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        """``data`` reduced over the ranks.

        Args:
            data: a tensor or number, or a collection of them.
            group: the ranks; all by default.
            reduce_op: ``"mean"``, ``"sum"`` or what the strategy takes.
        """
        return map_tensors(
            as_tensors(data, self.device), lambda tensor: self._strategy.reduce(tensor, group, reduce_op)
        )

    @contextmanager
    def rank_zero_first(self, local: bool = False) -> Iterator[None]:
        """Rank 0 runs the block first, the others once it is done, for instance a download.

        Args:
            local: rank 0 of each machine.
        """
        rank = self.local_rank if local else self.global_rank
        wait: Callable[[], None] = getattr(self._strategy, "patient_barrier", self.barrier)
        if rank > 0:
            wait()
        try:
            yield
        finally:
            if rank == 0:
                wait()

    def print(self, *args: Any, **kwargs: Any) -> None:
        """``print``, once on each machine."""
        if self.local_rank == 0:
            print(*args, **kwargs)  # noqa: T201 - that is what it is for

    # Onto the device --------------------------------------------------------------------------------------------

    def to_device(self, obj: Any) -> Any:
        """A module (moved in place), a tensor or a collection of tensors, on the device."""
        return obj.to(self.device) if isinstance(obj, nn.Module) else move(obj, self.device)

    def init_tensor(self) -> AbstractContextManager[Any]:
        """Tensors made in this block are on the device and in the precision at once."""
        return self.init_module(False)

    @contextmanager
    def init_module(self, empty_init: bool | None = None) -> Iterator[None]:
        """A model made in this block has its weights on the device and in the precision at once.

        Args:
            empty_init: leave weights as the memory is, to be loaded from a checkpoint; by default they are initialized.
        """
        with self.device, self._precision.module_init_context(), ExitStack() as stack:
            if empty_init:
                stack.enter_context(_Uninitialized())
            yield

    def sharded_model(self) -> AbstractContextManager[Any]:
        """Deprecated: :meth:`init_module`."""
        rank_zero_deprecation("`Fabric.sharded_model()` is deprecated in favor of `Fabric.init_module()`.")
        return ExitStack()


def _work(fabric: FabricRanks, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What each rank does with a launched function."""
    fabric._begin()
    with fabric._until_it_ends():
        return function(fabric, *args, **kwargs)


def _run(fabric: FabricRanks, *args: Any, **kwargs: Any) -> Any:
    """A subclass's own ``run``, found anew, for a function that is replaced in its class can't be pickled."""
    method: Any = type(fabric).run
    return method.__wrapped__(fabric, *args, **kwargs)


class _Uninitialized(TorchFunctionMode):
    """Leaves out every call of ``torch.nn.init``."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
