"""The public surface as text: every name, signature and option that users may rely on.

It must not know which of them are good: it lists what is there; ``public_surface.txt`` beside it is what was agreed.

Use: ``python -m tests.contracts.surface --check`` compares, ``--write`` agrees to the present state.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

AGREED = Path(__file__).with_name("public_surface.txt")
MODULES = (
    "lit_studio",
    "lit_studio.pytorch",
    "lit_studio.pytorch.cli",
    "lit_studio.fabric",
    "lit_studio.base.errors",
    "lit_studio.base.events",
    "lit_studio.base.registry",
    "lit_studio.base.runs",
    "lit_studio.base.settings",
    "lit_studio.tracking",
    "lit_studio.widgets",
)


def signature(target: Any) -> str:
    """Parameter names and defaults of ``target``, without annotations; empty if it has no readable signature."""
    try:
        found = inspect.signature(target)
    except (TypeError, ValueError):
        return "(…)"
    plain = [
        p.replace(annotation=inspect.Parameter.empty)
        for p in found.parameters.values()
        if p.name not in ("self", "cls")
    ]
    text = str(found.replace(parameters=plain, return_annotation=inspect.Signature.empty))
    return re.sub(r"<(?:class |function )?'?([\w.]+)[^>]*>", r"\1", text)


def is_ours(target: Any) -> bool:
    """Whether ``target`` was defined in this package."""
    return str(getattr(target, "__module__", "")).split(".")[0] == "lit_studio"


def is_named(target: Any) -> bool:
    """Whether ``target`` is a class or function, so that a second name for it is only a second name."""
    return inspect.isclass(target) or inspect.isfunction(target)


def members(cls: type, told: set[type]) -> Iterator[str]:
    """Public attributes, properties and methods of ``cls``, one line each; what bases in ``told`` give is left out."""
    for attribute in inspect.classify_class_attrs(cls):
        owner = attribute.defining_class
        if attribute.name.startswith("_") or not is_ours(owner) or (owner in told and owner is not cls):
            continue
        value = attribute.object
        if attribute.kind in ("method", "class method", "static method"):
            kind = "" if attribute.kind == "method" else f"{attribute.kind} "
            yield f"  {kind}{attribute.name}{signature(getattr(cls, attribute.name))}"
        elif attribute.kind == "property":
            yield f"  {attribute.name}: property"
        elif not callable(value):
            yield f"  {attribute.name}"


def describe(name: str, value: Any, told: set[type]) -> Iterator[str]:
    """The lines for one public name."""
    if isinstance(value, ModuleType):
        yield f"module {name}"
    elif inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        is_value = issubclass(value, BaseException) or not is_ours(value)
        yield (
            f"class {name}({bases})"
            if is_value
            else f"class {name}{signature(value)}" + (f" of {bases}" if bases else "")
        )
        if not issubclass(value, BaseException):
            yield from members(value, told)
    elif callable(value):
        yield f"{name}{signature(value)}"
    else:
        yield name


def modules() -> Iterator[ModuleType]:
    """The public modules that exist, and the public modules that they name, each once."""
    waiting, seen = list(MODULES), set()
    while waiting:
        name = waiting.pop(0)
        if name in seen or importlib.util.find_spec(name) is None:
            continue
        seen.add(name)
        module = importlib.import_module(name)
        yield module
        public = (getattr(module, attribute) for attribute in getattr(module, "__all__", ()))
        waiting += [
            value.__name__
            for value in public
            if isinstance(value, ModuleType) and value.__name__.startswith("lit_studio")
        ]


def python_surface() -> Iterator[str]:
    """Every public module with what it exports."""
    told: dict[type | int, str] = {}
    for module in modules():
        yield f"\n[{module.__name__}]"
        exported = getattr(module, "__all__", None)
        names = (
            exported
            if exported is not None
            else [
                n
                for n, v in vars(module).items()
                if not n.startswith("_") and v is not None and getattr(v, "__module__", "") == module.__name__
            ]
        )
        for name in sorted(names):
            value = getattr(module, name)
            known = told.get(value if inspect.isclass(value) else id(value)) if is_named(value) else None
            if known is not None:
                yield f"{name} = {known}"
                continue
            told[value if inspect.isclass(value) else id(value)] = f"{module.__name__}.{name}"
            yield from describe(name, value, {key for key in told if isinstance(key, type)})


def command_surface() -> Iterator[str]:
    """Every command of the command line with its arguments and options."""
    if importlib.util.find_spec("lit_studio.cli") is None:
        return
    import typer.main

    from lit_studio.cli import app

    def walk(command: Any, name: str) -> Iterator[str]:
        options = [" / ".join([*p.opts, *p.secondary_opts]) for p in command.params if p.name != "help"]
        yield " ".join([name, *(f"[{option}]" for option in options)])
        for child in sorted(getattr(command, "commands", {}).items()):
            yield from walk(child[1], f"{name} {child[0]}")

    yield "\n[command line]"
    yield from walk(typer.main.get_command(app), "lit-studio")


def option_surface() -> Iterator[str]:
    """Every setting and every traitlets option of the server extension."""
    from lit_studio.base.registry import GROUPS
    from lit_studio.base.settings import SETTINGS

    yield "\n[settings]"
    yield from (f"{s.name} = {s.default} ({' | '.join(s.choices)})" for s in SETTINGS.values())
    yield "\n[plugin groups]"
    yield from GROUPS
    if importlib.util.find_spec("lit_studio.extension.app") is not None:
        import traitlets.config

        module = importlib.import_module("lit_studio.extension.app")
        yield "\n[server options]"
        for name, cls in sorted(vars(module).items()):
            if inspect.isclass(cls) and issubclass(cls, traitlets.config.Configurable) and is_ours(cls):
                yield from (f"{name}.{trait}" for trait in sorted(cls.class_own_traits(config=True)))


def render() -> str:
    """The whole surface as text."""
    return "\n".join([*python_surface(), *command_surface(), *option_surface()]).lstrip("\n") + "\n"


def difference() -> list[str]:
    """What appeared (+) and vanished (-) against the agreed list."""
    agreed = AGREED.read_text(encoding="utf-8").splitlines() if AGREED.exists() else []
    lines = difflib.unified_diff(agreed, render().splitlines(), "agreed", "now", lineterm="", n=0)
    return [line for line in lines if line[0] in "+-" and not line.startswith(("+++", "---"))]


def main(arguments: list[str]) -> int:
    """Compare or write; 1 if they differ, 2 on wrong usage."""
    if arguments == ["--write"]:
        AGREED.write_text(render(), encoding="utf-8")
        return 0
    if arguments != ["--check"]:
        print(__doc__, file=sys.stderr)
        return 2
    if found := difference():
        print("The public surface changed. If that is meant, run `make surface` and commit the list.", *found, sep="\n")
        return 1
    print("The public surface is as agreed.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
