"""Modules of a package that are imported when somebody asks for them as attributes of it.

It must not know which package.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from typing import Any


def submodules(package: str, path: Iterable[str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for ``package``, so that ``package.module`` needs no import of its own.

    Args:
        package: the package's ``__name__``.
        path: its ``__path__``.
    """
    names = {module.name for module in pkgutil.iter_modules(path)}

    def find(name: str) -> Any:
        if name in names:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
