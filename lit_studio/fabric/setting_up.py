"""The part of Fabric that takes in models, optimizers and loaders, and what is done with their gradients.

It must not know logging or checkpoints.
"""

from __future__ import annotations

import functools
import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from lit_studio.base.errors import InvalidTypeError, InvalidValueError, MisconfigurationException
from lit_studio.fabric.run import known_scheduler
from lit_studio.fabric.watching import FabricWatching
from lit_studio.fabric.wrappers import (
    FabricDataLoader,
    FabricModule,
    FabricOptimizer,
    cover_optimizer,
    is_wrapped,
    uncovered,
)
from lit_studio.trainer.optimization import parameters_of
from lit_studio.trainer.samplers import Sharing
from lit_studio.trainer.seed import WORKERS_VARIABLE, seed_worker


class FabricSetup(FabricWatching):
    """Puts coats onto a user's objects, so that the loop stays as it is."""

    _has_leader = False  # a loader that trains has been set up

    def setup(
        self,
        module: nn.Module,
        *optimizers: Optimizer,
        scheduler: Any = None,
        move_to_device: bool = True,
        _reapply_compile: bool = True,
    ) -> Any:
        """Take in a model and its optimizers.

        Args:
            module: any module; a compiled one stays compiled.
            optimizers: those of its parameters.
            scheduler: of the learning rate; it is given back as it is, and a rate set by a person lasts.
            move_to_device: whether the module goes to the device.
            _reapply_compile: accepted; on one device a compiled module needs nothing.

        Returns:
            The module, or a tuple of the module, the optimizers, and the scheduler if there is one.

        Raises:
            InvalidValueError: an object that was set up already.
            InvalidTypeError: no module, or no optimizer.
        """
        self._refuse_covered("setup", optimizers)
        coat = self.setup_module(module, move_to_device, _reapply_compile)
        covered = [self._cover(optimizer) for optimizer in optimizers]
        if hasattr(coat.module, "fabric"):
            coat.module.__dict__["_fabric_optimizers"] = covered
        if scheduler is not None:
            self._run.schedulers.append(known_scheduler(scheduler))
        self.call("on_after_setup", fabric=self, module=coat)
        if not covered:
            return coat
        return (coat, *covered) if scheduler is None else (coat, *covered, scheduler)

    def setup_module(
        self, module: nn.Module, move_to_device: bool = True, _reapply_compile: bool = True
    ) -> FabricModule:
        """:meth:`setup` for a model alone, for instance for inference, or where the optimizer is made afterwards."""
        if not isinstance(module, nn.Module):
            raise InvalidTypeError("`setup` needs a module", value=module, valid="a torch.nn.Module")
        if is_wrapped(module):
            raise InvalidValueError(
                "A model should be passed only once to the `setup` method", value=type(module).__name__
            )
        self._need_launch()
        if move_to_device or self.world_size > 1:
            self._strategy.place(module, self._precision)
        else:
            self._precision.convert_module(module)
        coat = FabricModule(module, self._precision, self._strategy, self._run)
        original: Any = coat.module
        if hasattr(original, "fabric"):  # a LightningModule
            original.fabric = self
            original.__dict__["_fabric_optimizers"] = []
            if original not in self._callbacks:
                self._callbacks.append(original)
        return coat

    def setup_optimizers(self, *optimizers: Optimizer) -> FabricOptimizer | tuple[FabricOptimizer, ...]:
        """:meth:`setup` for optimizers alone; one of them is returned by itself.

        Raises:
            InvalidValueError: none was given, or one that was set up already.
            InvalidTypeError: no optimizer.
        """
        if not optimizers:
            raise InvalidValueError("`setup_optimizers` requires at least one optimizer as input")
        self._refuse_covered("setup_optimizers", optimizers)
        covered = tuple(self._cover(optimizer) for optimizer in optimizers)
        return covered[0] if len(covered) == 1 else covered

    def _refuse_covered(self, name: str, optimizers: tuple[Any, ...]) -> None:
        for optimizer in optimizers:
            if is_wrapped(optimizer):
                raise InvalidValueError(
                    f"An optimizer should be passed only once to the `{name}` method", value=type(optimizer).__name__
                )
            if not isinstance(optimizer, Optimizer):
                raise InvalidTypeError(f"`{name}` needs optimizers", value=optimizer, valid="a torch.optim.Optimizer")

    def _cover(self, optimizer: Optimizer) -> FabricOptimizer:
        self._run.optimizers.append(optimizer)
        return cover_optimizer(optimizer, self._precision, self._strategy, self._run, self._callbacks)

    def setup_dataloaders(
        self, *dataloaders: DataLoader[Any], use_distributed_sampler: bool = True, move_to_device: bool = True
    ) -> Any:
        """Take in loaders; the first one that is ever set up counts as the one that trains, for epochs and samples.

        Args:
            dataloaders: torch's DataLoaders.
            use_distributed_sampler: whether each rank gets a share of the samples of its own; False where the loader
                sees to that.
            move_to_device: whether batches come on the device.

        Returns:
            The loader, or a list of several.

        Raises:
            InvalidValueError: none was given, or one that was set up already.
            InvalidTypeError: no DataLoader.
        """
        if not dataloaders:
            raise InvalidValueError("`setup_dataloaders` requires at least one dataloader as input")
        self._need_launch()
        for loader in dataloaders:
            if is_wrapped(loader):
                raise InvalidValueError(
                    "A dataloader should be passed only once to the `setup_dataloaders` method", value=loader
                )
            if not isinstance(loader, DataLoader):
                raise InvalidTypeError(
                    "Only PyTorch DataLoader are currently supported in `setup_dataloaders`", value=loader
                )
        sharing = Sharing(self._strategy, use_distributed_sampler)
        covered = [self._cover_loader(sharing.share(loader, "train"), move_to_device) for loader in dataloaders]
        return covered[0] if len(covered) == 1 else covered

    def _cover_loader(self, loader: DataLoader[Any], move_to_device: bool) -> FabricDataLoader:
        if os.environ.get(WORKERS_VARIABLE) == "1" and loader.worker_init_fn is None and loader.num_workers > 0:
            loader.worker_init_fn = functools.partial(seed_worker, rank=self.global_rank)
        run, self._has_leader = None if self._has_leader else self._run, True
        return FabricDataLoader(loader, self.device if move_to_device else None, run)

    # Gradients --------------------------------------------------------------------------------------------------

    def backward(self, tensor: Tensor, *args: Any, model: FabricModule | None = None, **kwargs: Any) -> None:
        """``tensor.backward()`` with the precision's scaling.

        Args:
            tensor: the loss.
            args: as for ``Tensor.backward``.
            model: accepted; strategies that need it aren't here yet.
            kwargs: as for ``Tensor.backward``.
        """
        run = self._run
        run.in_backward = True
        try:
            self._precision.scale(tensor).backward(*args, **kwargs)  # type: ignore[no-untyped-call]
        finally:
            run.in_backward = False

    def clip_gradients(
        self,
        module: nn.Module,
        optimizer: Optimizer | FabricOptimizer,
        clip_val: float | None = None,
        max_norm: float | None = None,
        norm_type: float | str = 2.0,
        error_if_nonfinite: bool = True,
    ) -> Tensor | None:
        """Clip the gradients of ``optimizer``'s parameters in place, at their true size.

        Args:
            module: whose parameters these are.
            optimizer: the one that will step.
            clip_val: the largest absolute value.
            max_norm: or the largest total norm.
            norm_type: p of the p-norm; ``"inf"`` for the largest absolute value.
            error_if_nonfinite: raise torch's error if the norm is NaN or infinite, which waits for the device.

        Returns:
            With ``max_norm`` the total norm before clipping, a scalar tensor.

        Raises:
            MisconfigurationException: both or neither of ``clip_val`` and ``max_norm``.
        """
        if (clip_val is None) == (max_norm is None):
            raise MisconfigurationException(
                "Clipping needs one of `clip_val` and `max_norm`",
                value={"clip_val": clip_val, "max_norm": max_norm},
                advice="`clip_val` clips each value, `max_norm` the norm of all.",
            )
        inner = uncovered(optimizer)
        self._precision.unscale(inner)
        parameters = parameters_of(inner)
        if max_norm is None:
            assert clip_val is not None
            torch.nn.utils.clip_grad_value_(parameters, clip_val)
            return None
        return torch.nn.utils.clip_grad_norm_(parameters, max_norm, float(norm_type), error_if_nonfinite)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision, for operations outside a model's ``forward``."""
        return self._precision.inner_context()

    def no_backward_sync(self, module: nn.Module, enabled: bool = True) -> AbstractContextManager[Any]:
        """Around the forward and backward of micro-batches whose gradients need not be shared yet.

        Args:
            module: a model that was set up.
            enabled: False shares them after all.

        Raises:
            InvalidTypeError: the model was not set up.
        """
        if not is_wrapped(module):
            raise InvalidTypeError(
                "You need to set up the model first before you can call `fabric.no_backward_sync()`",
                value=type(module).__name__,
                advice="fabric.setup",
            )
        original: Any = getattr(module, "_orig_mod", module).module
        return self._strategy.block_backward_sync(original) if enabled else nullcontext()
