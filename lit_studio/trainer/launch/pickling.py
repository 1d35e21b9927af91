"""Which part of an object can't be sent to another process, for an error that names it.

It must not know what is sent: it takes any object apart.
"""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Iterator, Mapping
from multiprocessing import context
from types import MethodType
from typing import Any

import torch

DEEPEST = 12


def unpicklable_part(value: Any, path: str) -> tuple[str, Any] | None:
    """The smallest part of ``value`` that can't be pickled, by its path from ``path``; None if all of it can be."""
    if _pickles(value):
        return None
    seen: set[int] = set()
    for _ in range(DEEPEST):
        seen.add(id(value))
        culprit = next(((p, v) for p, v in _parts(value, path) if id(v) not in seen and not _pickles(v)), None)
        if culprit is None:
            break
        path, value = culprit
    return path, value


class _Probe(pickle.Pickler):
    """Pickles everything but tensors, of which it is known that they can be, and which may be large."""

    def persistent_id(self, value: Any) -> Any:
        return 0 if isinstance(value, torch.Tensor | torch.UntypedStorage) else None


class _Popen:
    """Stands in for a process that is being started: locks and queues may then be pickled."""

    def duplicate_for_child(self, handle: int) -> int:
        return handle


def _pickles(value: Any) -> bool:
    spawning: Any = context
    before = spawning.get_spawning_popen()
    spawning.set_spawning_popen(_Popen())
    try:
        _Probe(io.BytesIO(), protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    except Exception:  # noqa: BLE001 - that is what is asked
        return False
    finally:
        spawning.set_spawning_popen(before)
    return True


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from ((f"{path}[{key!r}]", item) for key, item in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"{path}[{index}]", item) for index, item in enumerate(value))
    elif isinstance(value, MethodType):
        yield path.rpartition(".")[0] or path, value.__self__
    elif isinstance(value, functools.partial):
        yield from (("func of " + path, value.func), ("args of " + path, value.args), ("kw of " + path, value.keywords))
    else:
        yield from _attributes(value, path)


def _attributes(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    try:
        state = value.__getstate__()  # what is really pickled: an object may leave attributes out
    except Exception:  # noqa: BLE001 - a class of the user's
        state = None
    state = state if isinstance(state, dict) else getattr(value, "__dict__", {})
    for name, item in state.items():
        if isinstance(value, torch.nn.Module) and name in ("_modules", "_parameters", "_buffers"):
            yield from ((f"{path}.{own}", part) for own, part in item.items())
        else:
            yield f"{path}.{name}", item
