"""Layers that see all ranks' batches, and the way back.

It must not know strategies or processes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class LayerSync(ABC):
    """Makes a module's layers synchronize over ranks; pass it as a plugin."""

    @abstractmethod
    def apply(self, model: nn.Module) -> nn.Module:
        """``model`` with its layers synchronizing."""

    @abstractmethod
    def revert(self, model: nn.Module) -> nn.Module:
        """``model`` as it was before :meth:`apply`."""


class TorchSyncBatchNorm(LayerSync):
    """Batch norms take their statistics over the batches of all ranks; on one device nothing differs."""

    def __init__(self) -> None:
        self._kinds: dict[str, type[_BatchNorm]] = {}

    def apply(self, model: nn.Module) -> nn.Module:
        """``model`` with each batch norm as ``torch.nn.SyncBatchNorm``, its weights and statistics kept."""
        self._kinds = {name: type(part) for name, part in model.named_modules() if isinstance(part, _BatchNorm)}
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted

    def revert(self, model: nn.Module) -> nn.Module:
        """``model`` with each batch norm of the kind that it had; where that isn't known, of one for any shape."""
        found = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.SyncBatchNorm)]
        for name, part in found:
            plain = _plain(part, self._kinds.get(name, _AnyBatchNorm))
            if not name:
                return plain
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, plain)
        return model


class _AnyBatchNorm(_BatchNorm):
    """A batch norm for inputs of any number of dimensions."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        pass


def _plain(part: nn.SyncBatchNorm, kind: type[_BatchNorm]) -> _BatchNorm:
    if kind is nn.SyncBatchNorm:  # it was one from the start
        return part
    plain = kind(part.num_features, part.eps, part.momentum, part.affine, part.track_running_stats)
    plain._parameters, plain._buffers = part._parameters, part._buffers
    plain.training = part.training
    return plain
