"""Lightning's public names beside ours: which are here, which differ and how, which are not and why.

It must not know any reason: those are written by hand in ``lit_studio/studio/parity.toml``. Lightning's names come from
``lightning_names.json``, which :mod:`tests.contracts.lightning_names` makes; ours are looked for in the package.

Use: ``python -m tests.contracts.parity --check`` compares, ``--write`` writes the table in the reference anew, and the
list of Lightning's names too where the peers' environment is installed.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NAMES = Path(__file__).with_name("lightning_names.json")
REASONS = ROOT / "lit_studio" / "studio" / "parity.toml"
TABLE = ROOT / "notebooks" / "reference" / "lightning-parity.md"
PEERS = ROOT / ".venv-peers" / "bin" / "python"
FIRST = ("pytorch.trainer.trainer", "pytorch.core.module", "pytorch.core.datamodule", "pytorch.core.hooks")
FIRST += ("pytorch.callbacks.callback", "fabric.fabric", "pytorch.cli")


@dataclass(frozen=True)
class Item:
    """One thing that Lightning has.

    Attributes:
        name: its path without ``lightning.``: ``pytorch.cli.LightningCLI``, an argument as ``…LightningCLI(run)``, a
            member as ``…LightningCLI.parser``.
        kind: ``module``, ``name``, ``argument`` or ``member``.
        here: whether we have it.
        home: where a name that a package lends was defined; else as ``name``.
    """

    name: str
    kind: str
    here: bool
    home: str


@dataclass
class Reason:
    """One entry of the file of reasons, with what it was used for.

    Attributes:
        kind: ``differs`` or ``no``.
        text: the reason.
        names: what it speaks of; of these everything must be missing (``no``) or here (``differs``).
        rest: it speaks of what is missing in these, whatever that is.
    """

    kind: str
    text: str
    names: list[str]
    rest: list[str]
    used: set[str] = field(default_factory=set)

    def covers(self, item: Item) -> bool:
        """Whether it speaks of ``item``, by name or by the name of what ``item`` is in."""
        for pattern in [*self.names, *([] if item.here else self.rest)]:
            for name in (item.name, item.home):
                if fnmatchcase(name, pattern) or any(fnmatchcase(name, pattern + more) for more in ("(*", ".*")):
                    self.used.add(pattern)
                    return True
        return False


def lightning_names() -> dict[str, Any]:
    """Lightning's names as checked in."""
    found: dict[str, Any] = json.loads(NAMES.read_text(encoding="utf-8"))
    return found


def installed_names() -> str | None:
    """Lightning's names as the peers' environment has them now; None without one."""
    if not PEERS.exists():
        return None
    script = Path(__file__).with_name("lightning_names.py")
    done = subprocess.run([PEERS, script], capture_output=True, text=True, check=True)
    return done.stdout


def reasons() -> list[Reason]:
    """The hand-written reasons, ``differs`` and ``no``."""
    written = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    return [
        Reason(kind, entry["why"], entry.get("names", []), entry.get("rest", []))
        for kind in ("differs", "no")
        for entry in written[kind]
    ]


# Ours ---------------------------------------------------------------------------------------------------------------


@functools.cache
def our_module(path: str) -> Any:
    """Our module at Lightning's ``path``; None if there is none."""
    try:
        return importlib.import_module(f"lit_studio.{path}" if path else "lit_studio")
    except ImportError:
        return None


@functools.cache
def classes_of(file: str) -> dict[str, ast.ClassDef]:
    """The classes in a file of ours by name."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


@functools.cache
def members(cls: type) -> frozenset[str]:
    """Names of ``cls``'s members, those too that its methods give to ``self``."""
    found = {name for base in cls.__mro__ for name in vars(base)}  # ``dir`` hides the methods of an enumeration
    for base in cls.__mro__:
        if base.__module__.startswith("lit_studio"):
            found |= set(getattr(base, "__annotations__", ()))
            found |= given_to_self(base)
    return frozenset(found)


def given_to_self(cls: type) -> set[str]:
    """Attributes that the methods of ``cls`` assign to ``self``."""
    tree = classes_of(sys.modules[cls.__module__].__file__ or "").get(cls.__name__)
    if tree is None:
        return set()
    stored = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    return {node.attr for node in stored if isinstance(node.value, ast.Name) and node.value.id == "self"}


def arguments(target: Any) -> set[str]:
    """Names of a callable's parameters."""
    try:
        return set(inspect.signature(target).parameters)
    except (TypeError, ValueError):
        return set()


# Theirs against ours ------------------------------------------------------------------------------------------------


def compare(names: dict[str, Any]) -> Iterator[Item]:
    """Every name of Lightning's, and whether it is here."""
    lent = places(names)
    for module, entries in sorted(names["modules"].items(), key=lambda pair: order(short(pair[0]))):
        path = short(module)
        if not entries:
            continue
        ours = our_module(path)
        if path:
            yield Item(path, "module", ours is not None, path)
        for name, described in entries.items():
            own = f"{path}.{name}".lstrip(".")
            home = short(described) if isinstance(described, str) and described != "value" else own
            if ours is not None:
                yield Item(own, "name", hasattr(ours, name), home)
            if isinstance(described, dict):
                yield from parts(own, described, found_at(own, lent.get(own, [])))


def parts(name: str, described: dict[str, Any], ours: Any) -> Iterator[Item]:
    """The arguments and members of one class or function of Lightning's; none if there is nothing here of its name."""
    if ours is None:
        return
    given = arguments(ours)
    for argument in described.get("init", described.get("parameters", ())):
        yield Item(f"{name}({argument})", "argument", argument in given, f"{name}({argument})")
    for member, wanted in described.get("members", {}).items():
        yield Item(f"{name}.{member}", "member", member in members(ours), f"{name}.{member}")
        if wanted and member in members(ours):
            given = arguments(getattr(ours, member, None))
            for argument in wanted:
                yield Item(
                    f"{name}.{member}({argument})", "argument", argument in given, f"{name}.{member}({argument})"
                )


def places(names: dict[str, Any]) -> dict[str, list[str]]:
    """For each definition, the packages' names under which it is lent too."""
    found: dict[str, list[str]] = {}
    for module, entries in names["modules"].items():
        for name, home in entries.items():
            if isinstance(home, str) and home != "value":
                found.setdefault(short(home), []).append(f"{short(module)}.{name}".lstrip("."))
    return found


def found_at(name: str, others: list[str]) -> Any:
    """Our object at Lightning's ``name``, or at one of the ``others``."""
    for path in (name, *others):
        module, _, attribute = path.rpartition(".")
        found = getattr(our_module(module), attribute, None)
        if found is not None:
            return found
    return None


def short(path: str) -> str:
    """A path without ``lightning.``."""
    return path.removeprefix("lightning").lstrip(".")


def order(module: str) -> tuple[int, str]:
    """What people look for first comes first."""
    return (FIRST.index(module) if module in FIRST else len(FIRST), module)


# Verdicts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """An item with ``yes``, ``differs`` or ``no`` and the words for the last two."""

    item: Item
    word: str
    why: str = ""


def judge() -> tuple[list[Verdict], list[str]]:
    """A verdict for each item, and what is wrong with the reasons, one line each."""
    written, verdicts, faults = reasons(), [], []
    for item in compare(lightning_names()):
        differing = [one for one in written if one.kind == "differs" and one.covers(item)]
        missing = [one for one in written if one.kind == "no" and one.covers(item)]
        if item.here:
            faults += [f"{item.name} is here now; take it out of: {one.text}" for one in missing]
            verdicts.append(Verdict(item, "differs" if differing else "yes", differing[0].text if differing else ""))
        else:
            if not missing:
                faults.append(f"{item.name} ({item.kind}) is not here and has no reason")
            verdicts.append(Verdict(item, "no", missing[0].text if missing else ""))
    for one in written:
        faults += [f"{name!r} names nothing of Lightning's" for name in one.names if name not in one.used]
        faults += [f"nothing is missing any more in {name!r}" for name in one.rest if name not in one.used]
    return verdicts, faults


# The table ----------------------------------------------------------------------------------------------------------


def render(verdicts: list[Verdict], version: str) -> str:
    """The page of the reference."""
    counts = {word: sum(one.word == word for one in verdicts) for word in ("yes", "differs", "no")}
    lines = [
        "# Lightning's names, one by one",
        "",
        f"Every public name of Lightning {version}, and whether it is here. Code that uses a name which is here runs "
        "after replacing the package's name: `lightning` by `lit_studio`. This page is made from the code by "
        "`make parity` and checked by a test.",
        "",
        f"**yes** {counts['yes']} · **differs** {counts['differs']} · **no** {counts['no']}",
        "",
        "*differs*: it is here and does something else in the way that is said. *no*: it is not here, and why.",
    ]
    modules: dict[str, list[Verdict]] = {}
    for one in verdicts:
        modules.setdefault(module_of(one.item), []).append(one)
    for module, own in modules.items():
        lines += ["", f"## `{'lightning.' + module if module else 'lightning'}`", "", *section(own)]
    return "\n".join(lines) + "\n"


def module_of(item: Item) -> str:
    """The module that an item belongs to."""
    if item.kind == "module":
        return item.name
    path = item.name.partition("(")[0]
    while path and not is_module(path):
        path = path.rpartition(".")[0]
    return path


@functools.cache
def is_module(path: str) -> bool:
    """Whether Lightning has a module of this path."""
    return f"lightning.{path}" in lightning_names()["modules"]


def section(verdicts: list[Verdict]) -> list[str]:
    """The rows of one module: names that are here in one row, each of the others with its words."""
    lines, module = [], module_of(verdicts[0].item)
    groups: dict[str, list[Verdict]] = {}
    for one in verdicts:
        groups.setdefault(owner_of(one.item, module), []).append(one)
    for owner, own in groups.items():
        heads = [one for one in own if one.item.kind in ("module", "name")]
        if owner and heads:
            lines.append(f"- `{owner}`: {heads[0].word}" + (f" ({heads[0].why})" if heads[0].why else ""))
        elif owner:
            lines.append(f"- `{owner}`")
        elif heads and heads[0].word != "yes":
            lines.append(f"- the module: {heads[0].word} ({heads[0].why})")
        lines += rows(
            "arguments", [one for one in own if one.item.kind == "argument" and not method_of(one.item, module)]
        )
        lines += rows("members", with_arguments(own, module))
        methods = [one for one in own if one.item.kind == "argument" and method_of(one.item, module)]
        lines += rows("arguments of methods", [one for one in methods if one.word != "yes"])
    return lines


def method_of(item: Item, module: str) -> str:
    """The method that an argument belongs to; empty for a class's or a function's own."""
    return item.name[len(module) :].lstrip(".").partition("(")[0].partition(".")[2]


def with_arguments(verdicts: list[Verdict], module: str) -> list[Verdict]:
    """The members, each with those of its arguments that are here as they are there."""
    given: dict[str, list[str]] = {}
    for one in verdicts:
        if one.item.kind == "argument" and one.word == "yes" and (method := method_of(one.item, module)):
            given.setdefault(method, []).append(last(one.item))
    found = []
    for one in verdicts:
        if one.item.kind == "member":
            names = given.get(last(one.item))
            shown = f"{one.item.name}({', '.join(names)})" if names else one.item.name
            found.append(Verdict(Item(shown, "member", one.item.here, one.item.home), one.word, one.why))
    return found


def owner_of(item: Item, module: str) -> str:
    """The class or function that an item is or belongs to; empty for the module itself."""
    rest = item.name[len(module) :].lstrip(".")
    return rest.partition("(")[0].partition(".")[0]


def rows(word: str, verdicts: list[Verdict]) -> list[str]:
    """Arguments or members of one name: those that are here together, the others by reason."""
    lines = []
    for verdict in ("yes", "differs", "no"):
        by_reason: dict[str, list[str]] = {}
        for one in verdicts:
            if one.word == verdict:
                by_reason.setdefault(one.why, []).append(f"`{shown(one.item)}`")
        for why, names in by_reason.items():
            lines.append(f"  - {word}, {verdict}{f' ({why})' if why else ''}: {', '.join(names)}")
    return lines


def shown(item: Item) -> str:
    """An argument's or a member's name as the table has it; a method's argument comes with the method."""
    if item.kind == "member" and "(" in item.name:
        head, _, given = item.name.partition("(")
        return f"{head.rpartition('.')[2]}({given}"
    method = method_of(item, module_of(item)) if item.kind == "argument" else ""
    return f"{method}({last(item)})" if method else last(item)


def last(item: Item) -> str:
    """An argument's or a member's own name."""
    return item.name.rstrip(")").replace("(", ".").rpartition(".")[2]


def table() -> tuple[str, list[str]]:
    """The page as it should be, and what is wrong with the reasons."""
    verdicts, faults = judge()
    return render(verdicts, lightning_names()["version"]), faults


def main(options: list[str]) -> int:
    """Compare or write; 1 if something is wrong, 2 on wrong usage."""
    if options not in (["--check"], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    installed = installed_names()
    if options == ["--write"] and installed is not None:
        NAMES.write_text(installed, encoding="utf-8")
    page, faults = table()
    if options == ["--write"]:
        TABLE.write_text(page, encoding="utf-8")
    else:
        if installed is not None and NAMES.read_text(encoding="utf-8") != installed:
            faults.append(f"{NAMES.name} is not what the installed Lightning has; run `make parity`")
        if not TABLE.exists() or TABLE.read_text(encoding="utf-8") != page:
            faults.append(f"{TABLE.relative_to(ROOT)} is not up to date; run `make parity`")
    print("\n".join(faults) or "Every name of Lightning's is here, or there is a reason.")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
