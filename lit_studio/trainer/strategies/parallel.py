"""Strategies of several ranks: who this rank is, the process group, and what ranks say to each other.

It must not know the loop, how ranks are started, or how gradients are shared.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from lit_studio.base.errors import InvalidStateError, InvalidValueError, MisconfigurationException
from lit_studio.trainer.environments import ClusterEnvironment, LightningEnvironment
from lit_studio.trainer.seed import reset_seed
from lit_studio.trainer.strategies.base import Strategy

PATIENCE = timedelta(days=365)  # of what may take as long as a person likes: a pause, a download on rank 0
MEANS = ("mean", "avg")


class ParallelStrategy(Strategy):
    """One rank for each device of each node; subclasses say how they train one model together.

    Args:
        accelerator: the kind of device, instead of the argument of that name.
        parallel_devices: this node's devices, instead of what ``accelerator`` and ``devices`` mean.
        cluster_environment: who started the ranks; found out by default.
        checkpoint_io: a way of saving and loading checkpoints.
        precision_plugin: the numerics.
        process_group_backend: ``"nccl"`` on CUDA and ``"gloo"`` elsewhere by default.
        timeout: how long one rank waits for another in an operation of all.
        start_method: how ranks of this machine start where nobody else starts them: ``"popen"`` runs the script once
            more for each, ``"spawn"``, ``"fork"`` and ``"forkserver"`` are multiprocessing's.
    """

    def __init__(
        self,
        accelerator: Any = None,
        parallel_devices: list[torch.device] | None = None,
        cluster_environment: ClusterEnvironment | None = None,
        checkpoint_io: Any = None,
        precision_plugin: Any = None,
        process_group_backend: str | None = None,
        timeout: timedelta | None = timedelta(seconds=1800),
        start_method: str = "popen",
    ):
        super().__init__()
        if start_method not in ("popen", "spawn", "fork", "forkserver"):
            raise InvalidValueError(
                "Unknown start_method", value=start_method, valid="'popen', 'spawn', 'fork' or 'forkserver'"
            )
        self.accelerator, self.checkpoint_io, self.precision_plugin = accelerator, checkpoint_io, precision_plugin
        self.parallel_devices = parallel_devices
        self.cluster_environment = cluster_environment
        self.start_method = start_method
        self.num_nodes = 1
        self._backend, self._timeout = process_group_backend, timeout
        self._alone = False

    # Who this is ------------------------------------------------------------------------------------------------

    def connect_ranks(self, devices: list[torch.device], num_nodes: int, environment: ClusterEnvironment) -> None:
        """Note which devices there are and who this rank is; called once, when the Trainer is made.

        Args:
            devices: of this node; one rank for each.
            num_nodes: nodes, each with as many.
            environment: who started the ranks, unless the strategy was given one.

        Raises:
            InvalidValueError: the environment started another number of ranks.
            MisconfigurationException: there are several nodes, and nothing says how they find each other.
        """
        from lit_studio.trainer.launch import make_launcher

        self.parallel_devices = list(self.parallel_devices or devices)
        self.num_nodes = num_nodes
        self.cluster_environment = environment = self.cluster_environment or environment
        environment.validate_settings(self.num_processes, num_nodes)
        if num_nodes > 1 and isinstance(environment, LightningEnvironment) and "MASTER_ADDR" not in os.environ:
            raise MisconfigurationException(
                f"num_nodes={num_nodes}, but nothing says where the other nodes are",
                advice="Start the script with torchrun or srun, or once on each node with MASTER_ADDR, MASTER_PORT and "
                "NODE_RANK set.",
            )
        self.become(environment.local_rank())
        self.launcher = make_launcher(self)

    def become(self, local_rank: int) -> None:
        """Take up the place of rank ``local_rank`` of this node."""
        environment = self.environment
        self.local_rank, self.node_rank = local_rank, environment.node_rank()
        environment.set_global_rank(self.node_rank * self.num_processes + local_rank)
        environment.set_world_size(self.num_nodes * self.num_processes)
        self.global_rank, self.world_size = environment.global_rank(), environment.world_size()
        devices = self.parallel_devices or []
        if local_rank >= len(devices):
            raise MisconfigurationException(
                f"This is local rank {local_rank}, but there are only {len(devices)} devices for the ranks of this node"
            )
        self.root_device = devices[local_rank]

    @property
    def environment(self) -> ClusterEnvironment:
        """Who started the ranks."""
        if self.cluster_environment is None:
            raise InvalidStateError(f"This {type(self).__name__} belongs to no Trainer or Fabric yet")
        return self.cluster_environment

    @property
    def num_processes(self) -> int:
        """Ranks on this node."""
        return len(self.parallel_devices or [])

    @property
    def process_group_backend(self) -> str:
        """The library that carries tensors between ranks."""
        return self._backend or ("nccl" if self.root_device.type == "cuda" else "gloo")

    @property
    def distributed_sampler_kwargs(self) -> dict[str, int]:
        """Which share of the data is this rank's."""
        return {"num_replicas": self.world_size, "rank": self.global_rank}

    def on_exception(self, exception: BaseException) -> None:
        """From now on until the next call this rank waits for no other."""
        self._alone = True

    def setup_environment(self) -> None:
        """Meet the other ranks, once for each process; seeds are what they were when ``seed_everything`` was called."""
        self._alone = False
        if self.root_device.type == "cuda":
            torch.cuda.set_device(self.root_device)
        if not dist.is_initialized():
            environment = self.environment
            os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
            keywords: dict[str, Any] = {} if self._timeout is None else {"timeout": self._timeout}
            if self.root_device.type == "cuda" and self.process_group_backend == "nccl":
                keywords["device_id"] = self.root_device
            dist.init_process_group(
                self.process_group_backend, rank=self.global_rank, world_size=self.world_size, **keywords
            )
        self._host_group()  # made here, because all ranks are here
        _patient_group()
        reset_seed()

    @property
    def _silent(self) -> bool:
        """Whether there is nobody to talk to: before the ranks have met, and after one has failed."""
        return self._alone or not dist.is_initialized()

    # Between ranks ----------------------------------------------------------------------------------------------

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        """``tensor`` reduced over the ranks; a mean of integers is an integer, and what is no tensor stays.

        Args:
            tensor: of equal shape on all ranks.
            group: the ranks; all by default.
            reduce_op: ``"mean"``, ``"sum"``, ``"min"``, ``"max"``, ``"product"``, or torch's ReduceOp.
        """
        if not isinstance(tensor, Tensor) or self._silent:
            return tensor
        word = reduce_op.lower() if isinstance(reduce_op, str) else reduce_op
        total = self._sendable(tensor).clone()
        op = dist.ReduceOp.SUM if word in MEANS or word is None else _operation(word)
        dist.all_reduce(total, op, group=group)
        if word in MEANS:
            size = dist.get_world_size(group)
            total = total / size if total.is_floating_point() else total.div(size, rounding_mode="trunc")
        return total.to(tensor.device)

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """Whether all ranks (or any) say yes."""
        if self._silent:
            return decision
        votes = torch.tensor(int(decision))
        dist.all_reduce(votes, group=self._host_group())
        return bool(votes == self.world_size if all else votes > 0)

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """``obj`` as rank ``src`` has it; anything that can be pickled."""
        return self._broadcast(obj, src, self._host_group)

    def broadcast_patiently(self, obj: Any) -> Any:
        """``obj`` as rank 0 has it, as long as that takes."""
        return self._broadcast(obj, 0, _patient_group)

    def _broadcast(self, obj: Any, src: int, group: Callable[[], Any]) -> Any:
        if self._silent:
            return obj
        parcel = [obj]
        dist.broadcast_object_list(parcel, src, group=group())
        return parcel[0]

    def barrier(self, name: str | None = None) -> None:
        """Wait for all ranks."""
        if self._silent:
            return
        if self.root_device.type == "cuda" and self.process_group_backend == "nccl":
            dist.barrier(device_ids=[self.root_device.index])
        else:
            dist.barrier()

    def patient_barrier(self) -> None:
        """Wait for all ranks as long as it takes."""
        if not self._silent:
            dist.all_reduce(torch.zeros(1), group=_patient_group())

    def largest(self, numbers: list[int]) -> list[int]:
        """For each place the largest of all ranks' numbers, as long as it takes."""
        if self._silent:
            return numbers
        votes = torch.tensor(numbers)
        dist.all_reduce(votes, dist.ReduceOp.MAX, group=_patient_group())
        return votes.tolist()

    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        """``tensor`` of all ranks, stacked along a new first dimension; its shape must be equal on all of them."""
        sendable = self._sendable(tensor)
        if self._silent:
            return sendable.unsqueeze(0)
        if sync_grads:
            return _AllGather.apply(sendable, group)  # type: ignore[no-untyped-call]
        return _gathered(sendable.detach(), group)

    def on_rank_zero(self, work: Callable[[], Any]) -> None:
        """Do ``work`` on rank 0 while the others wait; where it fails, it fails on all.

        Raises:
            InvalidStateError: on the other ranks, in words what rank 0's own error says.
        """
        error: Exception | None = None
        if self.is_global_zero:
            try:
                work()
            except Exception as failed:  # noqa: BLE001 - raised again when the others know
                error = failed
        words = self.broadcast_patiently(None if error is None else f"{type(error).__name__}: {error}")
        if error is not None:
            raise error
        if words is not None:
            raise InvalidStateError(f"Rank 0 failed, so this rank can't go on: {words}")

    def _host_group(self) -> Any:
        """All ranks, on the host: no GPU is waited for."""
        return None if self.process_group_backend == "gloo" else _made("host", self._timeout)

    def _sendable(self, tensor: Tensor) -> Tensor:
        """Where the backend can take it from."""
        backend = self.process_group_backend
        return tensor.to(self.root_device) if backend == "nccl" and not tensor.is_cuda else tensor.contiguous()

    def teardown(self) -> None:
        """The module comes back to the host's memory; the process group stays for the next call."""
        super().teardown()
        if self.cluster_environment is not None:
            self.cluster_environment.teardown()


class _AllGather(torch.autograd.Function):
    """Gathers, and sends each rank the gradients that all ranks found for its part."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return _gathered(tensor, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous()
        dist.all_reduce(total, group=ctx.group)
        return total[dist.get_rank(ctx.group)], None


def _gathered(tensor: Tensor, group: Any) -> Tensor:
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size(group))]
    dist.all_gather(parts, tensor, group=group)
    return torch.stack(parts)


def _operation(word: Any) -> Any:
    if not isinstance(word, str):
        return word
    if not hasattr(dist.ReduceOp, word.upper()):
        raise InvalidValueError("Unknown reduce_op", value=word, valid="'mean', 'sum', 'min', 'max' or 'product'")
    return getattr(dist.ReduceOp, word.upper())


_groups: dict[str, tuple[Any, Any]] = {}


def _patient_group() -> Any:
    """All ranks, on the host, in which waiting has no end."""
    return _made("patient", PATIENCE)


def _made(name: str, timeout: timedelta | None) -> Any:
    """A group of all ranks over gloo; made by all of them at once, when it is asked for the first time."""
    world = dist.group.WORLD
    if name not in _groups or _groups[name][0] is not world:
        _groups[name] = world, dist.new_group(backend="gloo", timeout=timeout)
    return _groups[name][1]


def leave_process_group() -> None:
    """Close the connections to the other ranks, if there are any."""
    _groups.clear()  # a group that outlives the others ends the process by a signal
    if dist.is_available() and dist.is_initialized():
        with suppress(Exception):
            dist.destroy_process_group()


# Registered before any launcher's: what is registered last runs first, and ranks that still run need rank 0's store.
atexit.register(leave_process_group)
