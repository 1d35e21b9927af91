"""The ddp family: each rank has the whole model, and gradients are averaged while backward runs.

It must not know the loop or how ranks are started; torch's DistributedDataParallel does the sharing.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from lit_studio.base.errors import InvalidStateError, MisconfigurationException
from lit_studio.trainer.environments import ClusterEnvironment
from lit_studio.trainer.strategies.parallel import ParallelStrategy

if TYPE_CHECKING:
    from lit_studio.trainer.precision import Precision

_MISSING = object()


class DDPStrategy(ParallelStrategy):
    """Data-parallel training by torch's DistributedDataParallel.

    Args:
        accelerator, parallel_devices, cluster_environment, checkpoint_io, precision_plugin, process_group_backend,
            timeout, start_method: as for :class:`~lit_studio.trainer.strategies.parallel.ParallelStrategy`.
        ddp_comm_state: state of the communication hook.
        ddp_comm_hook: how gradients travel, for instance torch's ``fp16_compress_hook``.
        ddp_comm_wrapper: a wrapper around that hook.
        model_averaging_period: with torch's post-local SGD hook: average the weights every so many steps, too.
        kwargs: for DistributedDataParallel: ``find_unused_parameters``, ``static_graph``, ``gradient_as_bucket_view``,
            ``bucket_cap_mb``, ``broadcast_buffers``.
    """

    synchronizes_backward = True

    def __init__(
        self,
        accelerator: Any = None,
        parallel_devices: list[torch.device] | None = None,
        cluster_environment: ClusterEnvironment | None = None,
        checkpoint_io: Any = None,
        precision_plugin: Any = None,
        ddp_comm_state: object | None = None,
        ddp_comm_hook: Callable[..., Any] | None = None,
        ddp_comm_wrapper: Callable[..., Any] | None = None,
        model_averaging_period: int | None = None,
        process_group_backend: str | None = None,
        timeout: timedelta | None = timedelta(seconds=1800),
        start_method: str = "popen",
        **kwargs: Any,
    ):
        super().__init__(
            accelerator,
            parallel_devices,
            cluster_environment,
            checkpoint_io,
            precision_plugin,
            process_group_backend,
            timeout,
            start_method,
        )
        if model_averaging_period is not None:
            raise MisconfigurationException(
                "DDPStrategy(model_averaging_period=…) is not available yet", value=model_averaging_period, valid="None"
            )
        self._hook, self._hook_state, self._hook_wrapper = ddp_comm_hook, ddp_comm_state, ddp_comm_wrapper
        self._options = kwargs
        self._wrapped: weakref.WeakKeyDictionary[nn.Module, DistributedDataParallel] = weakref.WeakKeyDictionary()
        self._converted: list[tuple[nn.Module, str, nn.Module]] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_wrapped": {}, "_converted": [], "model": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _wrapped=weakref.WeakKeyDictionary())

    def place(self, module: nn.Module, precision: Precision, trains: bool = True) -> None:
        """Onto the device; for training with gradients shared by all ranks, and weights as rank 0 has them."""
        super().place(module, precision, trains)
        if not trains or not any(parameter.requires_grad for parameter in module.parameters()):
            return
        if self.sync_batchnorm:
            self._synchronize_batchnorm(module)
        if self.layer_sync is not None:
            self.layer_sync.apply(module)
        cuda = self.root_device.type == "cuda"
        wrapped = DistributedDataParallel(module, [self.root_device.index] if cuda else None, **self._options)
        if self._hook is not None:
            hook = self._hook if self._hook_wrapper is None else self._hook_wrapper(self._hook)
            wrapped.register_comm_hook(self._hook_state, hook)
        for one in {module, getattr(module, "_orig_mod", module)}:  # what a compiler wraps is asked for by itself
            self._wrapped[one] = wrapped
        self.model = wrapped

    def _synchronize_batchnorm(self, module: nn.Module) -> None:
        """Let batch norms see all ranks' batches; :meth:`teardown` puts the user's own layers back."""
        for parent in module.modules():
            for name, child in list(parent.named_children()):
                if not isinstance(child, _BatchNorm) or isinstance(child, nn.SyncBatchNorm):
                    continue
                if self.root_device.type == "cpu":
                    raise MisconfigurationException(
                        "sync_batchnorm=True needs GPUs: torch synchronizes batch norms on them only",
                        value=f"{name} on the CPU",
                    )
                setattr(parent, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))  # type: ignore[no-untyped-call]
                self._converted.append((parent, name, child))

    def step(self, module: nn.Module, name: str) -> Callable[..., Any]:
        """A call of the wrapped module for what trains; evaluation calls the module itself.

        So passes of unequal length need no other rank.
        """
        wrapped = self._wrapped.get(module)
        if wrapped is None:
            return super().step(module, name)
        if name == "__call__":
            return wrapped
        if name in ("validation_step", "test_step", "predict_step"):
            return super().step(module, name)
        return _Through(wrapped, module, getattr(module, name))

    def share_buffers(self, module: nn.Module) -> None:
        """Let all ranks have rank 0's buffers (a batch norm's statistics), as ``forward`` does while training."""
        wrapped = self._wrapped.get(module)
        if wrapped is not None and wrapped.broadcast_buffers:
            for buffer in wrapped.modules_buffers:
                torch.distributed.broadcast(buffer, 0)

    def block_backward_sync(self, module: nn.Module | None = None) -> AbstractContextManager[Any]:
        """Gradients of backwards inside stay this rank's, until one outside shares the sums."""
        wrapped = self.model if module is None else self._wrapped.get(module)
        return wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else nullcontext()

    def before_backward(self, loss: Any) -> None:
        """Get ready for one more backward from the same forward, as manual optimization does."""
        wrapped = self.model
        if not isinstance(wrapped, DistributedDataParallel) or not wrapped.require_backward_grad_sync:
            return
        unused = wrapped.find_unused_parameters and not wrapped.static_graph
        wrapped.reducer.prepare_for_backward([loss] if unused and isinstance(loss, Tensor) else [])

    def teardown(self) -> None:
        """The module comes back to the host's memory, without the wrapper."""
        if isinstance(self.model, DistributedDataParallel):
            self.model = self.model.module
        for parent, name, child in self._converted:
            synchronized = getattr(parent, name)
            child.load_state_dict(synchronized.state_dict())
            setattr(parent, name, child)
        self._converted.clear()
        if self.layer_sync is not None and self._wrapped and self.model is not None:
            self.layer_sync.revert(self.model)
        self._wrapped.clear()
        super().teardown()


class _Through:
    """Calls one method of a module through the wrapper, which calls ``forward`` only.

    For the moment of the call the module's ``forward`` is something else; the method itself finds its own again.
    """

    def __init__(self, wrapped: DistributedDataParallel, module: nn.Module, method: Callable[..., Any]):
        self._wrapped, self._own, self._method = wrapped, module.__dict__, method
        self._kept: Any = _MISSING
        self._entered = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._kept, self._entered = self._own.get("forward", _MISSING), False
        self._own["forward"] = self._enter
        try:
            outputs = self._wrapped(*args, **kwargs)
        except RuntimeError as error:
            if "Expected to have finished reduction" in str(error):
                raise _unused(error) from error
            raise
        finally:
            if not self._entered:
                self._restore()
        return outputs

    def _enter(self, *args: Any, **kwargs: Any) -> Any:
        self._restore()
        self._entered = True
        return self._method(*args, **kwargs)

    def _restore(self) -> None:
        if self._kept is _MISSING:
            self._own.pop("forward", None)
        else:
            self._own["forward"] = self._kept


def _unused(error: RuntimeError) -> InvalidStateError:
    return InvalidStateError(
        "It looks like your LightningModule has parameters that were not used in producing the loss returned by "
        "training_step",
        advice="If this is intentional, you must enable the detection of unused parameters in DDP: pass "
        f"`strategy='ddp_find_unused_parameters_true'` or `DDPStrategy(find_unused_parameters=True)`.\n{error}",
    )
