"""What ``Trainer(plugins=…)`` may hold: numerics, who started the ranks, how checkpoints are saved and layers meet.

It must not know how either is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lit_studio.base.errors import InvalidTypeError, MisconfigurationException
from lit_studio.trainer.checkpoint_io import CheckpointIO
from lit_studio.trainer.environments import ClusterEnvironment
from lit_studio.trainer.layer_sync import LayerSync
from lit_studio.trainer.precision import Precision

Plugin = Precision | CheckpointIO | ClusterEnvironment | LayerSync
PluginInput = Plugin | list[Plugin] | None
# What Lightning's own loop calls on a Precision and ours does not: overriding it would do nothing, silently.
_UNCALLED = ("backward", "pre_backward", "post_backward", "optimizer_step", "clip_gradients", "connect")


@dataclass(frozen=True)
class Plugins:
    """The plugins by kind, None where there is none."""

    precision: Precision | None = None
    checkpoint_io: CheckpointIO | None = None
    cluster_environment: ClusterEnvironment | None = None
    layer_sync: LayerSync | None = None


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
        kind = _kind(plugin)
        if kind in found:
            raise MisconfigurationException(f"Received two plugins of one kind: {kind}", value=listed)
        found[kind] = plugin
    if "precision" in found and precision is not None:
        raise MisconfigurationException(
            "Received both a precision plugin and `precision`", value=precision, advice="Choose one of the two."
        )
    return Plugins(**found)


def _kind(plugin: Any) -> str:
    if isinstance(plugin, Precision):
        for name in _UNCALLED:
            if hasattr(plugin, name):
                raise MisconfigurationException(
                    f"`{type(plugin).__name__}.{name}` would never be called: the loop here works otherwise",
                    advice="Override `scale`, `unscale_gradients` or `step` of Precision, or the module's hook.",
                )
        return "precision"
    if isinstance(plugin, ClusterEnvironment):
        return "cluster_environment"
    if isinstance(plugin, LayerSync):
        return "layer_sync"
    # Not only subclasses: a checkpoint plugin written for Lightning has these methods too.
    if all(callable(getattr(plugin, f"{verb}_checkpoint", None)) for verb in ("save", "load", "remove")):
        return "checkpoint_io"
    raise InvalidTypeError(
        "Found an invalid type for a plugin",
        value=plugin,
        valid="a Precision, a CheckpointIO, a ClusterEnvironment or a LayerSync",
    )
