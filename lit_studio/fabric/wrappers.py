"""What ``Fabric.setup`` returns: the model, optimizer and loader in a coat that adds precision, placing and counting.

It must not know Fabric: a coat is handed what it needs, and forwards everything else to what it covers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from lit_studio.base.errors import InvalidStateError, InvalidTypeError, InvalidValueError
from lit_studio.fabric.run import FabricRun
from lit_studio.trainer.batches import count_samples, map_tensors, move
from lit_studio.trainer.data import fixed_batch_size, length
from lit_studio.trainer.precision import Precision
from lit_studio.trainer.strategies import Strategy

STEPS = ("training_step", "validation_step", "test_step", "predict_step")
_END = object()


class FabricModule(nn.Module):
    """A module whose ``forward``, and every method marked as one, runs in the precision and through the strategy.

    Attributes are those of the module that it covers, and so is the state: no key has a prefix.
    """

    def __init__(self, module: nn.Module, precision: Precision, strategy: Strategy, run: FabricRun):
        super().__init__()
        self._forward_module = module  # perhaps torch.compile's
        # Not as a submodule: each parameter is listed once.
        self.__dict__["_original_module"] = getattr(module, "_orig_mod", module)
        self._precision, self._strategy, self._run = precision, strategy, run
        self._forward_methods = set(STEPS)
        self.__dict__["_call"] = strategy.step(module, "__call__")  # perhaps a wrapper, itself a module
        self.__dict__["_complete"] = True

    @property
    def module(self) -> nn.Module:
        """The module as it was given to ``setup``, without a compiler's wrapper."""
        found: nn.Module = self._original_module
        return found

    @property
    def device(self) -> torch.device:
        """Where the first parameter lies; the CPU if there is none."""
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The first parameter's; torch's default if there is none."""
        return next((parameter.dtype for parameter in self.parameters()), torch.get_default_dtype())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """:meth:`forward`, with the coat's own hooks; where there is nothing to add, the module is called at once."""
        own = self.__dict__
        hooks = (
            own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]
        )
        if hooks or own["_precision"].active:
            return super().__call__(*args, **kwargs)
        return own["_call"](*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's own ``forward``, its inputs and operations in the precision, its outputs in torch's default."""
        if not self._precision.active:
            return self._call(*args, **kwargs)
        return self._in_precision(self._call, args, kwargs)

    def _in_precision(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        precision = self._precision
        args, kwargs = precision.convert_input((args, kwargs))
        with precision.inner_context():
            output = function(*args, **kwargs)
        default = torch.get_default_dtype()
        output = map_tensors(output, lambda tensor: tensor.to(default) if tensor.is_floating_point() else tensor)
        return output if precision.scaler is None else map_tensors(output, self._guarded)

    def _guarded(self, tensor: Tensor) -> Tensor:
        """Without the scaling, the optimizer's step would divide gradients by a scale that they never had."""
        if tensor.requires_grad:
            tensor.register_hook(self._refuse_plain_backward)  # type: ignore[no-untyped-call]
        return tensor

    def _refuse_plain_backward(self, gradient: Tensor) -> None:
        if not self._run.in_backward:
            raise InvalidStateError(
                "This precision scales the loss, so `loss.backward()` alone gives wrong gradients",
                advice="Call `fabric.backward(loss)` instead.",
            )

    def mark_forward_method(self, method: MethodType | str) -> None:
        """Let ``method`` run like ``forward``: in the precision and through the strategy.

        Args:
            method: a method of the module, or its name.

        Raises:
            InvalidTypeError: neither of the two.
            InvalidValueError: ``forward`` itself.
            AttributeError: the module has no such method.
        """
        if not isinstance(method, MethodType | str):
            raise InvalidTypeError("A forward method is given by itself or its name", value=method)
        name = method if isinstance(method, str) else method.__name__
        if name == "forward":
            raise InvalidValueError("You cannot mark the forward method itself as a forward method", value=name)
        if not isinstance(getattr(self.module, name, None), MethodType):
            raise AttributeError(f"{type(self.module).__name__}.{name} does not exist or is not a method")
        self._forward_methods.add(name)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The module's own."""
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Into the module."""
        return self.module.load_state_dict(state_dict, *args, **kwargs)

    def __deepcopy__(self, memo: Any) -> FabricModule:
        copied = FabricModule(deepcopy(self._forward_module, memo), self._precision, self._strategy, self._run)
        copied._forward_methods |= self._forward_methods
        copied.training = self.training
        return copied

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        if "_complete" not in own:  # being made, or being unpickled
            return super().__getattr__(name)
        if name in own["_modules"]:
            return own["_modules"][name]
        found = getattr(own["_original_module"], name)
        if name not in own["_forward_methods"]:
            return found
        call = own["_strategy"].step(own["_original_module"], name)
        if not own["_precision"].active:
            return call
        return lambda *args, **kwargs: self._in_precision(call, args, kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        covered = own.get("_original_module") if "_complete" in own else None
        if covered is None or name in own:
            super().__setattr__(name, value)
        if covered is not None and (name not in own or hasattr(covered, name)):
            setattr(covered, name, value)


class FabricOptimizer:
    """An optimizer that steps as the precision needs it and counts its steps; made by :func:`cover_optimizer`."""

    _optimizer: Optimizer
    _precision: Precision
    _strategy: Strategy
    _run: FabricRun
    _after: list[Callable[..., Any]]
    _count: int

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer as it was given to ``setup``."""
        return self._optimizer

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's own."""
        return self._strategy.optimizer_state(self._optimizer)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Into the optimizer."""
        self._strategy.load_optimizer_state(self._optimizer, state_dict)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step, and tell the callbacks that have ``on_after_optimizer_step``; a step boundary of the run."""
        outcome = self._precision.step(self._optimizer, closure)
        for hook in self._after:
            hook(strategy=self._strategy, optimizer=self._optimizer)
        self._count += 1
        run = self._run
        if self._count > run.steps:
            run.steps = self._count
        if run.shared is not None:
            run.stepped()
        if time.monotonic() >= run.due:
            run.flush()
        return outcome

    def __getattr__(self, name: str) -> Any:
        if name == "_optimizer":  # not there yet: being copied or unpickled
            raise AttributeError(name)
        return getattr(self._optimizer, name)


def cover_optimizer(
    optimizer: Optimizer, precision: Precision, strategy: Strategy, run: FabricRun, callbacks: list[Any]
) -> FabricOptimizer:
    """``optimizer`` in its coat, which passes for an instance of the same class, with the same state.

    Args:
        optimizer: any optimizer.
        precision: by whose rules it steps.
        strategy: by whose rules its state is saved.
        run: who counts steps.
        callbacks: those with a method ``on_after_optimizer_step(strategy, optimizer)`` are called.
    """
    kind = type(f"Fabric{type(optimizer).__name__}", (FabricOptimizer, type(optimizer)), {})
    coat: FabricOptimizer = object.__new__(kind)
    coat._optimizer, coat._precision, coat._strategy, coat._run = optimizer, precision, strategy, run
    found = [getattr(callback, "on_after_optimizer_step", None) for callback in callbacks]
    coat._after, coat._count = [hook for hook in found if callable(hook)], 0
    # Found on the coat at once: the class's own would look up each thing it needs through ``__getattr__``.
    coat.__dict__["zero_grad"] = optimizer.zero_grad
    return coat


class FabricDataLoader:
    """A loader whose batches come on the device.

    Args:
        dataloader: torch's.
        device: where batches go; None leaves them.
        run: who is told of passes and batches; only for the loader that trains.
    """

    def __init__(self, dataloader: DataLoader[Any], device: torch.device | None, run: FabricRun | None):
        self._dataloader, self._device, self._run = dataloader, device, run
        self._passes = 0

    @property
    def device(self) -> torch.device | None:
        """Where batches go."""
        return self._device

    def __len__(self) -> int:
        return len(self._dataloader)

    def __iter__(self) -> Iterator[Any]:
        loader, device = self._dataloader, self._device
        for sampler in (loader.sampler, getattr(loader.batch_sampler, "sampler", None)):
            if callable(getattr(sampler, "set_epoch", None)):  # else a distributed one gives the same order each time
                sampler.set_epoch(self._passes)  # type: ignore[union-attr]
        self._passes += 1
        batches = iter(loader) if self._run is None else self._counted(self._run)
        return batches if device is None or device.type == "cpu" else (move(batch, device) for batch in batches)

    def _counted(self, run: FabricRun) -> Iterator[Any]:
        size, total = fixed_batch_size(self._dataloader), length(self._dataloader)
        run.passes, run.batch, run.batches = self._passes, 0, None if total == float("inf") else int(total)
        asked = time.monotonic()
        iterator = iter(self._dataloader)
        while (batch := next(iterator, _END)) is not _END:
            run.data_wait += time.monotonic() - asked
            run.samples += size or count_samples(batch)
            yield batch
            run.batch += 1
            asked = time.monotonic()

    def __getattr__(self, name: str) -> Any:
        if name == "_dataloader":
            raise AttributeError(name)
        return getattr(self._dataloader, name)


def is_wrapped(obj: object) -> bool:
    """Whether ``obj`` came from one of Fabric's ``setup`` methods; a compiler's wrapper around it doesn't matter."""
    return isinstance(getattr(obj, "_orig_mod", obj), FabricModule | FabricOptimizer | FabricDataLoader)


def uncovered(obj: Any) -> Any:
    """What lies in Fabric's coat and in a compiler's wrapper; any other object as it is."""
    if isinstance(obj, FabricOptimizer):
        return obj.optimizer
    if isinstance(obj, FabricDataLoader):
        return obj._dataloader
    if isinstance(obj, nn.Module):
        obj = obj.__dict__["_modules"].get("_orig_mod", obj)
        obj = obj.module if isinstance(obj, FabricModule) else obj
    return obj


def all_uncovered(collection: Any) -> Any:
    """``collection``, an object or dicts, lists and tuples of some, with each :func:`uncovered`."""
    if isinstance(collection, Mapping):
        return {key: all_uncovered(value) for key, value in collection.items()}
    if type(collection) in (list, tuple):
        return type(collection)(map(all_uncovered, collection))
    return uncovered(collection)


# Under these names Lightning's programs know them.
_unwrap_objects = all_uncovered
_FabricModule, _FabricOptimizer, _FabricDataLoader = FabricModule, FabricOptimizer, FabricDataLoader
