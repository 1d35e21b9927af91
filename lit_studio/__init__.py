"""Lit Studio: train PyTorch models live in a notebook, with the names of Lightning.

This module must not load torch or Jupyter: every public name is imported when it is first used. ``import lit_studio
as L`` takes the place of ``import lightning as L``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_studio import callbacks, loggers, profilers, studio
    from lit_studio.base.errors import (
        CheckpointCorruptError,
        CheckpointError,
        CheckpointNotFoundError,
        InvalidStateError,
        InvalidTypeError,
        InvalidValueError,
        KernelError,
        KernelNotFoundError,
        LoggerError,
        MisconfigurationException,
        MissingAttributeError,
        MissingBuildError,
        MissingDependencyError,
        NotebookError,
        PathNotFoundError,
        RankError,
        RemovedError,
        RunError,
        RunNotFoundError,
        RunRecordError,
        StudioError,
    )
    from lit_studio.callbacks import Callback
    from lit_studio.fabric.fabric import Fabric
    from lit_studio.trainer import strategies, tuner
    from lit_studio.trainer.datamodule import LightningDataModule
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.seed import seed_everything
    from lit_studio.trainer.trainer import Trainer

    __version__: str

_MODULES = {name: f"lit_studio.trainer.{name}" for name in ("strategies", "tuner")}
_MODULES |= {
    name: f"lit_studio.{name}" for name in ("callbacks", "loggers", "profilers", "pytorch", "fabric", "studio")
}
_NAMES = {
    "Callback": "lit_studio.callbacks",
    "Fabric": "lit_studio.fabric.fabric",
    "LightningDataModule": "lit_studio.trainer.datamodule",
    "LightningModule": "lit_studio.trainer.module",
    "Trainer": "lit_studio.trainer.trainer",
    "seed_everything": "lit_studio.trainer.seed",
}
_ERRORS = (
    "CheckpointCorruptError",
    "CheckpointError",
    "CheckpointNotFoundError",
    "InvalidStateError",
    "InvalidTypeError",
    "InvalidValueError",
    "KernelError",
    "KernelNotFoundError",
    "LoggerError",
    "MisconfigurationException",
    "MissingAttributeError",
    "MissingBuildError",
    "MissingDependencyError",
    "NotebookError",
    "PathNotFoundError",
    "RankError",
    "RemovedError",
    "RunError",
    "RunNotFoundError",
    "RunRecordError",
    "StudioError",
)
_NAMES |= dict.fromkeys(_ERRORS, "lit_studio.base.errors")

__all__ = [
    "Callback",
    "CheckpointCorruptError",
    "CheckpointError",
    "CheckpointNotFoundError",
    "Fabric",
    "InvalidStateError",
    "InvalidTypeError",
    "InvalidValueError",
    "KernelError",
    "KernelNotFoundError",
    "LightningDataModule",
    "LightningModule",
    "LoggerError",
    "MisconfigurationException",
    "MissingAttributeError",
    "MissingBuildError",
    "MissingDependencyError",
    "NotebookError",
    "PathNotFoundError",
    "RankError",
    "RemovedError",
    "RunError",
    "RunNotFoundError",
    "RunRecordError",
    "StudioError",
    "Trainer",
    "__version__",
    "callbacks",
    "loggers",
    "profilers",
    "seed_everything",
    "strategies",
    "studio",
    "tuner",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(_MODULES[name])
    elif name == "__version__":
        from importlib.metadata import version

        value = version("lit-studio")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from lit_studio.extension.app import LitStudioApp

    return [{"module": "lit_studio.extension", "app": LitStudioApp}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "lit-studio"}]
