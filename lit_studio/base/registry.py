"""One small registry of plugins over entry points and explicit registration.

It must not know what a plugin does: it finds factories by group and name and imports them only when asked.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from lit_studio.base.errors import InvalidValueError

GROUPS = ("strategies", "loggers", "profilers", "observers", "backends", "stores", "templates")

_registered: dict[str, dict[str, Callable[..., Any]]] = {group: {} for group in GROUPS}
_discovered: dict[str, dict[str, EntryPoint]] = {}


def _check(group: str) -> None:
    if group not in _registered:
        raise InvalidValueError("No such plugin group", value=group, valid=f"one of {', '.join(GROUPS)}")


def _entry_points(group: str) -> dict[str, EntryPoint]:
    if group not in _discovered:
        _discovered[group] = {point.name: point for point in entry_points(group=f"lit_studio.{group}")}
    return _discovered[group]


def register(group: str, name: str, factory: Callable[..., Any]) -> None:
    """Make ``factory`` known under ``name``; a later registration and any registration beats an entry point.

    Raises:
        InvalidValueError: ``group`` is not one of :data:`GROUPS`.
    """
    _check(group)
    _registered[group][name] = factory


def unregister(group: str, name: str) -> None:
    """Forget a registration (not an entry point); an unknown name is ignored."""
    _check(group)
    _registered[group].pop(name, None)


def names(group: str) -> list[str]:
    """All names known in ``group``, sorted; imports nothing."""
    _check(group)
    return sorted({*_entry_points(group), *_registered[group]})


def get(group: str, name: str) -> Callable[..., Any]:
    """The factory called ``name``, imported if need be.

    Raises:
        InvalidValueError: ``group`` or ``name`` is unknown; the message lists what is known.
    """
    _check(group)
    if name in _registered[group]:
        return _registered[group][name]
    points = _entry_points(group)
    if name not in points:
        known = ", ".join(names(group)) or "none is installed"
        raise InvalidValueError(f"No plugin of that name in {group}", value=name, valid=known)
    factory: Callable[..., Any] = points[name].load()
    return factory


def load_all(group: str) -> dict[str, Callable[..., Any]]:
    """Every factory of ``group`` by name; one that fails to import is left out with a warning that names it."""
    found: dict[str, Callable[..., Any]] = {}
    for name in names(group):
        try:
            found[name] = get(group, name)
        except Exception as error:  # noqa: BLE001 - a broken third-party plugin must not end a run
            warnings.warn(f"The plugin {name!r} ({group}) could not be loaded: {error!r}", stacklevel=2)
    return found
