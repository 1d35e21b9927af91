"""The face of a strategy: placing a module, talking between ranks, and the state that goes into a checkpoint.

It must not know the loop, loggers or callbacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

if TYPE_CHECKING:
    from lit_studio.trainer.launch.base import Launcher
    from lit_studio.trainer.layer_sync import LayerSync
    from lit_studio.trainer.precision import Precision


class Strategy:
    """How a module is placed; all methods do what one process on one device needs, for others to override.

    Attributes:
        root_device: where this rank's module and batches lie.
        world_size, global_rank, local_rank, node_rank: torch's senses.
        synchronizes_backward: whether :meth:`block_backward_sync` does anything; the loop skips it if not.
        sync_batchnorm: whether batch norms are to see all ranks' batches.
        layer_sync: a plugin that lets layers see all ranks' batches in a way of its own.
        launcher: what starts the ranks; None where this process is the only one.
        model: the module that was placed last, as the strategy has wrapped it.
    """

    world_size = 1
    global_rank = 0
    local_rank = 0
    node_rank = 0
    synchronizes_backward = False
    sync_batchnorm = False
    layer_sync: LayerSync | None = None
    launcher: Launcher | None = None

    def __init__(self) -> None:
        self.root_device = torch.device("cpu")
        self.model: torch.nn.Module | None = None

    @property
    def is_global_zero(self) -> bool:
        """Whether this rank is the one that writes."""
        return self.global_rank == 0

    def connect(self, device: torch.device) -> None:
        """Note the device; called once, when the Trainer is made."""
        self.root_device = device

    def setup_environment(self) -> None:
        """Meet the other ranks; called by each of them when a call begins."""

    def on_exception(self, exception: BaseException) -> None:
        """The call ends through ``exception``: other ranks may be elsewhere, so nobody waits for them any more."""

    def place(self, module: torch.nn.Module, precision: Precision, trains: bool = True) -> None:
        """Put ``module`` onto the device in its precision, before the optimizers are made.

        Args:
            module: any module, changed in place.
            precision: the numerics.
            trains: whether gradients will be needed.
        """
        if precision.active:
            precision.convert_module(module)
        module.to(self.root_device)
        self.model = module

    def step(self, module: torch.nn.Module, name: str) -> Callable[..., Any]:
        """What the loop calls for ``training_step`` and its like: the module's own method, or a wrapper around it."""
        method: Callable[..., Any] = getattr(module, name)
        return method

    def block_backward_sync(self, module: torch.nn.Module | None = None) -> AbstractContextManager[Any]:
        """Around micro-batches whose gradients need not be shared yet.

        Args:
            module: whose gradients; by default :attr:`model`'s.
        """
        return nullcontext()

    def before_backward(self, loss: Any) -> None:
        """Each ``backward`` of manual optimization begins."""

    # Between ranks ----------------------------------------------------------------------------------------------

    def reduce(self, tensor: Any, group: Any = None, reduce_op: str | None = "mean") -> Any:
        """``tensor`` reduced over the ranks."""
        return tensor

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """Whether all ranks (or any) say yes."""
        return decision

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """``obj`` as rank ``src`` has it."""
        return obj

    def barrier(self, name: str | None = None) -> None:
        """Wait for all ranks."""

    def patient_barrier(self) -> None:
        """Wait for all ranks as long as it takes."""

    def all_gather(self, tensor: torch.Tensor, group: Any = None, sync_grads: bool = False) -> torch.Tensor:
        """``tensor`` of all ranks, stacked along a new first dimension where there are several."""
        return tensor

    def on_rank_zero(self, work: Callable[[], Any]) -> None:
        """Do ``work`` on rank 0 while the others wait; where it fails, it fails on all."""
        work()

    # State ------------------------------------------------------------------------------------------------------

    def module_state(self, module: torch.nn.Module) -> dict[str, Any]:
        """The module's whole state, as a checkpoint keeps it."""
        return module.state_dict()

    def load_module_state(self, module: torch.nn.Module, state: Mapping[str, Any], strict: bool = True) -> None:
        """Put a whole state back into the module."""
        module.load_state_dict(state, strict=strict)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The optimizer's whole state, as a checkpoint keeps it."""
        return optimizer.state_dict()

    def load_optimizer_state(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        """Put a whole state back into the optimizer, on the device of its parameters."""
        optimizer.load_state_dict(state)

    def teardown(self) -> None:
        """Release what is held; the module comes back to the host's memory."""
        if self.model is not None and self.root_device.type != "cpu":
            self.model.cpu()
        self.model = None


class SingleDeviceStrategy(Strategy):
    """The whole module on one device of this process.

    Args:
        device: the device, instead of the one that ``accelerator`` and ``devices`` mean.
        accelerator: the kind of device, instead of the argument of that name.
        checkpoint_io: a way of saving and loading checkpoints.
        precision_plugin: the numerics.
    """

    def __init__(
        self,
        device: str | int | torch.device | None = None,
        accelerator: Any = None,
        checkpoint_io: Any = None,
        precision_plugin: Any = None,
    ):
        super().__init__()
        self.accelerator, self.checkpoint_io, self.precision_plugin = accelerator, checkpoint_io, precision_plugin
        self._given = None if device is None else torch.device(device)

    def connect(self, device: torch.device) -> None:
        """Note the device, unless one was given."""
        self.root_device = self._given or device
