"""The public names of an installed Lightning, as facts: modules, classes, parameters, members.

It must not know Lit Studio: it runs in the peers' interpreter, where there is none, and prints what it finds.

Use: ``.venv-peers/bin/python tests/contracts/lightning_names.py`` writes JSON to the standard output.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import inspect
import json
import pkgutil
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any, TypeVar

ROOTS = ("lightning.pytorch", "lightning.fabric")
NOT_NAMES = {"log", "warning_cache"}  # each module's own logger, and what it has warned of


def main() -> None:
    """Print everything as JSON."""
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(sys.stderr):
        import lightning

        found = {"version": lightning.__version__, "modules": {"lightning": exported("lightning")}}
        for name in module_names():
            with contextlib.suppress(ImportError):  # those that need a package which isn't there
                found["modules"][name] = exported(name)
    print(render(found))


def render(found: dict[str, Any]) -> str:
    """JSON with one name a line, so that a change of Lightning's shows as a change of lines."""
    blocks = []
    for module, names in found["modules"].items():
        lines = ",\n".join(f"   {json.dumps(name)}: {json.dumps(value)}" for name, value in names.items())
        blocks.append(f"  {json.dumps(module)}: {{\n{lines}\n  }}" if names else f"  {json.dumps(module)}: {{}}")
    return '{{\n "version": {},\n "modules": {{\n{}\n }}\n}}'.format(json.dumps(found["version"]), ",\n".join(blocks))


def module_names() -> list[str]:
    """Every module whose path has no private part."""
    names = []
    for root in ROOTS:
        package = importlib.import_module(root)
        walked = pkgutil.walk_packages(package.__path__, f"{root}.", onerror=lambda _: None)
        names += [root, *(info.name for info in walked)]
    return sorted(name for name in names if not any(part.startswith("_") for part in name.split(".")))


def exported(module_name: str) -> dict[str, Any]:
    """The names that a module defines, and for a package those that it lends from its modules."""
    module = importlib.import_module(module_name)
    defined, lent = top_level(module)
    names = getattr(module, "__all__", None)
    chosen = set(names) if names is not None else defined | lent
    found = {}
    for name in sorted(chosen - NOT_NAMES):
        if (name.startswith("_") and name != "__version__") or not hasattr(module, name):
            continue
        value = getattr(module, name)
        if inspect.ismodule(value) or isinstance(value, TypeVar):
            continue
        home = getattr(value, "__module__", None) or ""
        named = inspect.isclass(value) or inspect.isfunction(value)
        if named and home.startswith("lightning.") and home != module_name:
            found[name] = f"{home}.{value.__qualname__}"
        else:
            found[name] = described(value)
    return found


def top_level(module: Any) -> tuple[set[str], set[str]]:
    """What a module's text defines at its top, and what it lends: a package's imports, and those marked as unused."""
    text = Path(module.__file__).read_text(encoding="utf-8")
    lines, is_package = text.splitlines(), hasattr(module, "__path__")
    defined, lent = set(), set()
    for node in _statements(ast.parse(text).body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign):
            defined |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            defined.add(node.target.id)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lightning"):
            for alias in node.names:
                if is_package or any("noqa: F401" in lines[line - 1] for line in (alias.lineno, node.lineno)):
                    lent.add(alias.asname or alias.name)
    public = {name for name in defined if not name.startswith("_")}
    return public, {name for name in lent if not name.startswith("_")}


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """Top-level statements, those in ``if`` and ``try`` too, but for what only type checkers see."""
    found = []
    for node in body:
        if isinstance(node, ast.If):
            if "TYPE_CHECKING" not in ast.dump(node.test):
                found += _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            found += _statements(node.body)
        else:
            found.append(node)
    return found


def described(value: Any) -> Any:
    """A class by its parameters and members, a function by its parameters, anything else as a value."""
    if inspect.isclass(value) and value.__module__.startswith("lightning."):
        return {"init": parameters(value), "members": members(value)}
    if inspect.isfunction(value):
        return {"parameters": parameters(value)}
    return "value"


def parameters(target: Any) -> list[str]:
    """Names of a callable's parameters, without those that take whatever is left."""
    try:
        found = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return []
    rest = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in found if p.kind not in rest and p.name not in ("self", "cls") and p.name[0] != "_"]


def members(cls: type) -> dict[str, list[str]]:
    """Public members of a class and its private bases, its instances' too, and what methods take."""
    own = [base for base in cls.__mro__ if base is cls or (base.__module__.startswith("lightning.") and private(base))]
    found = {name for base in own for name in vars(base)}
    found |= {name for base in own for name in getattr(base, "__annotations__", ())}
    for base in own:
        found |= assigned(base)
    public = sorted(name for name in found if not name.startswith("_"))
    return {name: parameters_of_member(cls, name) for name in public}


def parameters_of_member(cls: type, name: str) -> list[str]:
    """A method's parameters; none for an attribute or a property."""
    value = inspect.getattr_static(cls, name, None)
    callable_ = isinstance(value, staticmethod | classmethod) or inspect.isfunction(value)
    return parameters(getattr(cls, name)) if callable_ else []


def private(cls: type) -> bool:
    """Whether a class can't be named by users; what the other bases of a class give is told with them."""
    return any(part.startswith("_") for part in f"{cls.__module__}.{cls.__qualname__}".split("."))


@functools.cache
def assigned(cls: type) -> frozenset[str]:
    """Attributes that ``cls``'s ``__init__`` gives to ``self``."""
    method = vars(cls).get("__init__")
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(method)))  # type: ignore[arg-type]
    except (OSError, TypeError):  # none of its own, or one that a decorator wrote
        return frozenset()
    targets = [node.target for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)]
    targets += [target for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets]
    flat = [one for target in targets for one in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return frozenset(
        one.attr
        for one in flat
        if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == "self"
    )


if __name__ == "__main__":
    main()
