"""What ``Trainer(plugins=…)`` may hold: numerics, who started the ranks, and a way of one's own to save checkpoints.

It must not know how either is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lit_studio.base.errors import InvalidTypeError, MisconfigurationException
from lit_studio.trainer.environments import ClusterEnvironment
from lit_studio.trainer.precision import Precision


@runtime_checkable
class CheckpointIO(Protocol):
    """Saves and loads checkpoints in another way or another place than a local file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``."""

    def load_checkpoint(self, path: str | Path, map_location: Any = None) -> dict[str, Any]:
        """Read what :meth:`save_checkpoint` wrote."""

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove it."""


PluginInput = Precision | CheckpointIO | ClusterEnvironment | list[Precision | CheckpointIO | ClusterEnvironment] | None


@dataclass(frozen=True)
class Plugins:
    """The plugins by kind, None where there is none."""

    precision: Precision | None = None
    checkpoint_io: CheckpointIO | None = None
    cluster_environment: ClusterEnvironment | None = None


def resolve_plugins(plugins: Any, precision: Any) -> Plugins:
    """Tell the plugins apart.

    Args:
        plugins: one, a list, or None.
        precision: the Trainer's argument of that name, which mustn't contradict them.

    Raises:
        InvalidTypeError: a plugin of a kind that isn't known.
        MisconfigurationException: two of one kind, or a precision given twice.
    """
    listed = [] if plugins is None else list(plugins) if isinstance(plugins, list | tuple) else [plugins]
    found: dict[str, Any] = {}
    for plugin in listed:
        if isinstance(plugin, Precision):
            kind = "precision"
        elif isinstance(plugin, ClusterEnvironment):
            kind = "cluster_environment"
        elif isinstance(plugin, CheckpointIO):
            kind = "checkpoint_io"
        else:
            raise InvalidTypeError(
                "Found an invalid type for a plugin",
                value=plugin,
                valid="a Precision, a ClusterEnvironment or a checkpoint plugin",
            )
        if kind in found:
            raise MisconfigurationException(f"Received two plugins of one kind: {kind}", value=listed)
        found[kind] = plugin
    if "precision" in found and precision is not None:
        raise MisconfigurationException(
            "Received both a precision plugin and `precision`", value=precision, advice="Choose one of the two."
        )
    return Plugins(**found)
