"""What can be imported here, by name: read from our own sources, so that nothing need be loaded.

It must not know Lightning: whether a name of its is wanted here is for others to ask.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[2]
_NOT_LITERAL = object()
_DOORS = ("lit_studio.pytorch", "lit_studio.fabric")


def is_module(name: str) -> bool:
    """Whether the dotted ``name`` is a module of ours, or is lent to one by the root."""
    return _source(_lent_modules().get(name, name)) is not None


@functools.cache
def names_in(module: str) -> frozenset[str]:
    """What ``from module import …`` can name: what it exports, and its modules."""
    module = _lent_modules().get(module, module)
    path = _source(module)
    if path is None:
        return frozenset()
    tree = _parse(path)
    found = set(_exported(module, tree))
    if path.name == "__init__.py":
        found |= {entry.stem for entry in path.parent.iterdir() if _is_module_file(entry)} - {"__init__"}
    return frozenset(found)


def trainer_arguments() -> frozenset[str]:
    """The names of ``Trainer``'s arguments."""
    return _arguments(_PACKAGE / "trainer" / "trainer.py", "Trainer")


def strategies_to_come() -> tuple[str, ...]:
    """How the names of Lightning's strategies begin that this version refuses."""
    found = _constant(_parse(_PACKAGE / "trainer" / "strategies" / "__init__.py"), "LATER")
    return tuple(found) if isinstance(found, tuple) else ()


def _lent_modules() -> dict[str, str]:
    """Modules that the root lends under names of its own, which are no modules of that name."""
    import lit_studio

    return {f"lit_studio.{name}": path for name, path in lit_studio._MODULES.items()}


def _source(module: str) -> Path | None:
    root, *parts = module.split(".")
    if root != _PACKAGE.name:
        return None
    place = _PACKAGE.joinpath(*parts)
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _is_module_file(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").is_file()


@functools.cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _exported(module: str, tree: ast.Module) -> set[str]:
    if module == _PACKAGE.name:
        import lit_studio

        return {*lit_studio.__all__, *lit_studio._MODULES, *lit_studio._NAMES}
    declared = _constant(tree, "__all__")
    found: set[str] = set() if declared is _NOT_LITERAL else set(declared)
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == "*" for alias in node.names):
            if (path := _source(node.module)) is not None:
                starred = _constant(_parse(path), "__all__")
                found |= _exported(node.module, _parse(path)) if starred is _NOT_LITERAL else set(starred)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            targets = [one for target in node.targets for one in getattr(target, "elts", [target])]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    lent = declared if isinstance(declared, list) else ()
    behind_a_door = module.startswith(_DOORS)  # there, private names are Lightning's that programs are known to use
    return {n for n in found if not n.startswith("_") or n == "__version__" or n in lent or behind_a_door}


def _constant(tree: ast.Module, name: str) -> Any:
    """The literal that a module assigns to ``name``."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            try:
                return ast.literal_eval(node.value)
            except ValueError:
                return _NOT_LITERAL
    return _NOT_LITERAL


@functools.cache
def _arguments(path: Path, cls: str) -> frozenset[str]:
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.ClassDef) and node.name == cls:
            for function in node.body:
                if isinstance(function, ast.FunctionDef) and function.name == "__init__":
                    taken = function.args
                    return frozenset(argument.arg for argument in [*taken.args[1:], *taken.kwonlyargs])
    return frozenset()
