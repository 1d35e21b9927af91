"""Where and in which numerics a run happens: one answer from the arguments that Trainer and Fabric share.

It must not know loops, loaders or what is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lit_studio.base.errors import MisconfigurationException
from lit_studio.trainer.accelerators import Accelerator, resolve_accelerator, resolve_devices
from lit_studio.trainer.checkpoint_io import CheckpointIO, TorchCheckpointIO
from lit_studio.trainer.environments import find_environment
from lit_studio.trainer.plugins import resolve_plugins
from lit_studio.trainer.precision import Precision, resolve_precision
from lit_studio.trainer.strategies import Strategy, is_interactive, resolve_strategy

ARGUMENTS = ("accelerator", "strategy", "devices", "num_nodes", "precision", "plugins")


@dataclass(frozen=True)
class Placement:
    """Resolved before work starts.

    Attributes:
        accelerator: the kind of device.
        device_ids: the indices of this node's devices.
        num_nodes: nodes.
        strategy: how models are placed, with its device.
        precision: the numerics.
        checkpoint_io: a user's own way of saving and loading, None for files.
        device_name: this rank's device in words.
    """

    accelerator: Accelerator
    device_ids: list[int]
    num_nodes: int
    strategy: Strategy
    precision: Precision
    checkpoint_io: CheckpointIO | None
    device_name: str

    def read_checkpoint(self, path: str | Path, weights_only: bool | None) -> dict[str, Any]:
        """What was saved to ``path``, by the user's way of loading if there is one."""
        more = {} if weights_only is None else {"weights_only": weights_only}  # which older plugins don't take
        return (self.checkpoint_io or TorchCheckpointIO()).load_checkpoint(path, **more)

    def write_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any) -> None:
        """Save on rank 0, by the user's way of saving if there is one, while the others wait."""
        io = self.checkpoint_io or TorchCheckpointIO()
        self.strategy.on_rank_zero(lambda: io.save_checkpoint(checkpoint, path, storage_options=storage_options))

    def teardown(self) -> None:
        """A call is over: finish what is being saved and release the devices."""
        try:
            if (finish := getattr(self.checkpoint_io, "teardown", None)) is not None:  # which a plugin may lack
                finish()
        finally:
            self.precision.teardown()
            self.strategy.teardown()


def resolve_placement(
    accelerator: Any, strategy: Any, devices: Any, num_nodes: int, precision: Any, plugins: Any
) -> Placement:
    """What the arguments of that name mean on this machine; see the Trainer's.

    Raises:
        MisconfigurationException, InvalidValueError, InvalidTypeError: arguments that are wrong by themselves or
            together, or that need what this machine or this version doesn't have.
    """
    if isinstance(num_nodes, bool) or not isinstance(num_nodes, int) or num_nodes < 1:
        raise MisconfigurationException("num_nodes is out of range", value=num_nodes, valid="an int ≥ 1")
    kind = resolve_accelerator(getattr(strategy, "accelerator", None) or accelerator)
    ids = resolve_devices(kind, devices, is_interactive())
    placed = resolve_strategy(strategy, len(ids), num_nodes)
    found = resolve_plugins(plugins, precision)
    indexed = [torch.device(kind.name, index) if kind.name == "cuda" else torch.device(kind.name) for index in ids]
    placed.layer_sync = found.layer_sync
    if hasattr(placed, "connect_ranks"):
        placed.connect_ranks(indexed, num_nodes, found.cluster_environment or find_environment())
    else:
        placed.connect(indexed[0])
    own = getattr(placed, "precision_plugin", None)
    numerics = resolve_precision(own or found.precision or precision, kind.name)
    io = getattr(placed, "checkpoint_io", None) or found.checkpoint_io
    return Placement(kind, ids, num_nodes, placed, numerics, io, kind.describe(placed.root_device))
