"""The face of a logger, and the logger that keeps nothing.

It must not know where any logger writes, nor the loop that calls it.
"""

from __future__ import annotations

import functools
import os
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from lit_studio.callbacks.model_checkpoint import ModelCheckpoint


class Logger(ABC):
    """Subclass it and pass an instance to ``Trainer(logger=…)``; only rank 0's loggers are written to."""

    @property
    @abstractmethod
    def name(self) -> str | None:
        """The experiment's name, a folder under :attr:`save_dir` for loggers that write files."""

    @property
    @abstractmethod
    def version(self) -> int | str | None:
        """The experiment's version: its number, or a name of the user's."""

    @property
    def root_dir(self) -> str | None:
        """The folder that holds all versions, None for loggers without files."""
        return None

    @property
    def log_dir(self) -> str | None:
        """The folder of this version, None for loggers without files."""
        return None

    @property
    def save_dir(self) -> str | None:
        """The folder under which experiments are kept, None for loggers without files."""
        return None

    @property
    def group_separator(self) -> str:
        """What separates the groups in a metric's name."""
        return "/"

    @property
    def experiment(self) -> Any:
        """The library's own object behind this logger."""
        return None

    @abstractmethod
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Record ``metrics`` at ``step`` (optimizer steps)."""

    @abstractmethod
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Record hyper-parameters."""

    def log_graph(self, model: torch.nn.Module, input_array: torch.Tensor | None = None) -> None:  # noqa: B027 - optional
        """Record the model's graph, where the logger can."""

    def save(self) -> None:  # noqa: B027 - optional
        """Write what is buffered."""

    def finalize(self, status: str) -> None:
        """The run is over: ``status`` is ``success``, ``failed`` or ``interrupted``."""
        self.save()

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:  # noqa: B027 - optional
        """A checkpoint callback has written or removed files."""


def current_rank() -> int:
    """This process among all; 0 outside any launch."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank()
    for variable in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"):
        if (rank := os.environ.get(variable, "")).isdigit():
            return int(rank)
    return 0


def is_rank_zero() -> bool:
    """Whether this process is the one that writes."""
    return current_rank() == 0


def rank_zero_experiment(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a logger's ``experiment`` so that other ranks than 0 get an object that swallows every call."""

    @functools.wraps(fn)
    def experiment(self: Logger) -> Any:
        return fn(self) if is_rank_zero() else DummyExperiment()

    return experiment


def params_to_dict(params: Mapping[str, Any] | Namespace | None) -> dict[str, Any]:
    """Hyper-parameters as a dict, whatever form they came in."""
    if params is None:
        return {}
    return dict(vars(params)) if isinstance(params, Namespace) else dict(params)


class DummyExperiment:
    """Answers every attribute, call and index with nothing."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return self._nothing

    def _nothing(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __getitem__(self, _: Any) -> DummyExperiment:
        return self

    def __setitem__(self, *_: Any) -> None:
        pass


class DummyLogger(Logger):
    """Stands in for a user's logger in ``fast_dev_run``: takes every call and keeps nothing."""

    def __init__(self) -> None:
        self._experiment = DummyExperiment()

    @property
    def name(self) -> str:
        """Empty."""
        return ""

    @property
    def version(self) -> str:
        """Empty."""
        return ""

    @property
    def experiment(self) -> DummyExperiment:
        """An object that swallows every call."""
        return self._experiment

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Keep nothing."""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Keep nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        # A module may call its own logger's methods (log_image, watch …), which must not fail in a dry run.
        if name.startswith("__"):
            raise AttributeError(name)
        return self._experiment._nothing

    def __getitem__(self, _: Any) -> DummyLogger:
        return self
