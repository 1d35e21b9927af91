"""Reading a Python source: where names of Lightning's stand in it, and which of them are missing here.

It must not run the source, nor know whether it is a file or a notebook's cells.
"""

from __future__ import annotations

import ast
import bisect
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from lit_studio.studio.migration import reasons, renaming, surface
from lit_studio.studio.migration.findings import Finding

_BY_NAME = {"import_module", "importorskip", "find_spec", "__import__"}
_TRAINER = "lightning.pytorch.trainer.trainer.Trainer"
_JUDGED = {"accelerator", "model_registry", "strategy"}  # whose values are looked at one by one
_CLASSES = {"LightningModule", "LightningDataModule", "Callback"}


@dataclass(frozen=True, order=True)
class Edit:
    """``new`` in place of the bytes from ``start`` to ``end`` of a line; the number of lines never changes."""

    line: int
    start: int
    end: int
    new: str


@dataclass(frozen=True)
class Read:
    """What reading a source has found; lines count from 1."""

    text: str
    findings: tuple[Finding, ...]


def read(text: str) -> Read:
    """``text`` with the names replaced, and what is missing here.

    Args:
        text: Python, without magics.

    Raises:
        SyntaxError: it is no Python of this interpreter's.
    """
    reader = _Reader(text)
    return Read(reader.edited(), tuple(sorted(set(reader.findings()))))


class _Reader:
    def __init__(self, text: str):
        self._lines = lines_of(text)
        self._encoded = [line.encode() for line in self._lines]
        self._tree = ast.parse(text)
        self._tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        self._starts = [token.start for token in self._tokens]
        self._nodes = list(ast.walk(self._tree))
        # By local name: the dotted name of Lightning's that it stands for.
        self._bound: dict[str, str] = {}
        self._roots: set[str] = set()  # bound by `import lightning…` under the package's own name
        self._by_hand: list[Finding] = []
        for node in self._nodes:
            self._bind(node)
        for name in self._also_assigned():
            self._roots.discard(name)
            self._bound.pop(name)

    def edited(self) -> str:
        edits: dict[int, list[Edit]] = {}
        for edit in {*self._edits()}:
            edits.setdefault(edit.line, []).append(edit)
        lines = list(self._encoded)
        for number, found in edits.items():
            line = lines[number - 1]
            for edit in sorted(found, reverse=True):
                line = line[: edit.start] + edit.new.encode() + line[edit.end :]
            lines[number - 1] = line
        return b"".join(lines).decode()

    # What is bound ----------------------------------------------------------------------------------------------

    def _bind(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in filter(lambda alias: renaming.is_theirs(alias.name), node.names):
                if alias.asname:
                    self._bound[alias.asname] = _canonical(alias.name)
                else:
                    root = alias.name.partition(".")[0]
                    self._bound[root] = _canonical(root)
                    self._roots.add(root)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module and renaming.is_theirs(node.module):
            for alias in node.names:
                self._bound[alias.asname or alias.name] = f"{_canonical(node.module)}.{alias.name}"

    def _also_assigned(self) -> set[str]:
        """Package names that something else in the source is called too: theirs can't be told from the other's."""
        for node in self._nodes:
            name = ""
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                name = node.id
            elif isinstance(node, ast.arg):
                name = node.arg
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                name = node.name
            if name in self._roots:
                told = "the name is the package's and something else's in this file"
                line = getattr(node, "lineno", 1)
                self._by_hand.append(Finding(line, name, told, "Replace it by hand where it is the package."))
        return {finding.name for finding in self._by_hand}

    # Edits ------------------------------------------------------------------------------------------------------

    def _edits(self) -> Iterator[Edit]:
        plain = {*self._documentation(), *self._names_of_loggers()}
        for node in self._nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from self._root_at(alias.lineno, alias.col_offset, alias.name)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                yield from self._module_of(node)
            elif isinstance(node, ast.Name) and node.id in self._roots:
                yield from self._root_at(node.lineno, node.col_offset, node.id)
            elif isinstance(node, ast.Call):
                yield from self._named_by_call(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in plain:
                yield from self._in_string(node, renaming.in_string(node.value))

    def _documentation(self) -> Iterator[ast.Constant]:
        for node in self._nodes:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                yield node.value

    def _names_of_loggers(self) -> Iterator[ast.expr]:
        for node in self._nodes:
            if isinstance(node, ast.Call) and _called(node) == "getLogger":
                yield from node.args[:1]

    def _root_at(self, line: int, column: int, name: str) -> Iterator[Edit]:
        root = name.partition(".")[0]
        if root not in renaming.ROOTS:
            return
        if self._encoded[line - 1][column : column + len(root)] == root.encode():
            yield Edit(line, column, column + len(root), renaming.ours(root))
        else:  # within an f-string, whose inside older interpreters place wrongly
            told = "its place in this f-string can't be told"
            self._by_hand.append(Finding(line, name, told, "Replace the name by hand."))

    def _module_of(self, node: ast.ImportFrom) -> Iterator[Edit]:
        start = (node.lineno, len(self._encoded[node.lineno - 1][: node.col_offset].decode()))
        for token in self._tokens[bisect.bisect_left(self._starts, start) + 1 :]:
            if token.type == tokenize.NAME:
                line, column = token.start
                place = len(self._lines[line - 1][:column].encode())
                yield from self._root_at(line, place, token.string)
                return

    def _named_by_call(self, node: ast.Call) -> Iterator[Edit]:
        """A package named in a string: what imports by name, and what asks for a logger."""
        called = _called(node)
        first = node.args[0] if node.args else None
        if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
            return
        if called == "getLogger" and renaming.is_theirs(first.value):  # all that we say is said by one logger
            yield from self._in_string(first, "lit_studio")
        elif called in _BY_NAME:
            yield from self._in_string(first, renaming.ours(first.value))

    def _in_string(self, node: ast.Constant, new: str) -> Iterator[Edit]:
        if new == node.value or node.lineno != node.end_lineno or not isinstance(node.value, str):
            return
        start, end = node.col_offset, node.end_col_offset or 0
        written = self._encoded[node.lineno - 1][start:end]
        content = node.value.encode()
        if written.count(content) == 1:
            place = start + written.index(content)
            yield Edit(node.lineno, place, place + len(content), new)

    # Findings ---------------------------------------------------------------------------------------------------

    def findings(self) -> Iterator[Finding]:
        inner = {id(node.value) for node in self._nodes if isinstance(node, ast.Attribute)}
        for node in self._nodes:
            if isinstance(node, ast.Import):
                yield from (found for alias in node.names for found in self._imported(alias.name, alias.lineno))
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                yield from self._imported_from(node, node.module)
            elif isinstance(node, ast.Attribute) and id(node) not in inner and (name := self._resolve(node)):
                yield from _missing(name, node.lineno)
            elif isinstance(node, ast.Call) and (name := self._resolve(node.func)) and name.endswith(".Trainer"):
                yield from _trainer_call(node)
            elif isinstance(node, ast.ClassDef):
                yield from self._class(node)
        yield from self._by_hand

    def _resolve(self, node: ast.AST) -> str | None:
        """The dotted name of Lightning's that a chain of attributes means."""
        rest: list[str] = []
        while isinstance(node, ast.Attribute):
            rest.insert(0, node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in self._bound:
            return ".".join([self._bound[node.id], *rest])
        return None

    def _imported(self, name: str, line: int) -> Iterator[Finding]:
        root = name.partition(".")[0]
        if renaming.is_theirs(name):
            yield from _missing(_canonical(name), line)
        elif root in reasons.HOSTED:
            yield Finding(line, name, *reasons.missing(root))
        elif root in reasons.BUILT_ON_IT:
            told = "this package is built on Lightning's own classes, which a Trainer of ours doesn't take"
            yield Finding(line, name, told, "Go on training its modules with Lightning.")

    def _imported_from(self, node: ast.ImportFrom, module: str) -> Iterator[Finding]:
        found = list(self._imported(module, node.lineno))
        yield from found
        if found or not renaming.is_theirs(module):
            return
        for alias in node.names:
            if alias.name != "*":
                yield from _missing(f"{_canonical(module)}.{alias.name}", alias.lineno)

    def _class(self, node: ast.ClassDef) -> Iterator[Finding]:
        bases = {(self._resolve(base) or "").rpartition(".")[2] for base in node.bases}
        if not bases & _CLASSES:
            return
        for method in node.body:
            if not isinstance(method, ast.FunctionDef):
                continue
            if method.name in reasons.OLD_HOOKS:
                told = "Lightning 2 dropped this hook, so nobody calls it"
                yield Finding(method.lineno, method.name, told, reasons.OLD_HOOKS[method.name])
            elif any(argument.arg == "optimizer_idx" for argument in method.args.args):
                told = "Lightning 2 dropped this argument"
                advice = "Step several optimizers by hand: `self.automatic_optimization = False`."
                yield Finding(method.lineno, "optimizer_idx", told, advice)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def lines_of(text: str) -> list[str]:
    """The lines of ``text`` as Python counts them; ``str.splitlines`` ends some at a form feed too."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _canonical(name: str) -> str:
    """The dotted ``name`` as Lightning 2 writes it, whichever distribution it came from."""
    return renaming.ours(name).replace("lit_studio", "lightning", 1)


def _missing(name: str, line: int) -> Iterator[Finding]:
    """What ``name`` needs and isn't here: a module on the way to it, or the last name."""
    words = name.split(".")
    for count in range(1, len(words)):
        module = renaming.ours(".".join(words[:count]))
        if not surface.is_module(module):
            return  # an attribute of an object: nobody can tell by reading
        implicit = words[count].startswith("__") and words[count] != "__version__"
        if words[count] not in surface.names_in(module) and not implicit:
            absent = ".".join(words[: count + 1])
            yield Finding(line, absent, *reasons.missing(name))
            return
        if why := reasons.differing(".".join(words[: count + 1])):
            yield Finding(line, ".".join(words[: count + 1]), f"it differs: {why}", kind="advice")


def _trainer_call(node: ast.Call) -> Iterator[Finding]:
    known, later = surface.trainer_arguments(), surface.strategies_to_come()
    for keyword in node.keywords:
        name, value = keyword.arg, keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if name is None:
            continue
        written = f"Trainer({name}={value!r})" if isinstance(value, str) else f"Trainer({name}=…)"
        if name in reasons.OLD_ARGUMENTS:
            told = "Lightning 2 dropped this argument"
            yield Finding(keyword.lineno, written, told, reasons.OLD_ARGUMENTS[name])
        elif name not in known:
            yield Finding(keyword.lineno, written, "the Trainer has no such argument", "Leave it out.")
        elif name == "accelerator" and value in reasons.HARDWARE:
            told = f"{reasons.HARDWARE[str(value)]} are not supported"
            yield Finding(keyword.lineno, written, told, 'Write `accelerator="auto"`: CUDA, MPS or CPU.')
        elif name == "strategy" and isinstance(value, str) and value.startswith(later):
            yield Finding(keyword.lineno, written, "this strategy is not available yet", 'Use "ddp" or "auto".')
        elif name == "model_registry" and value is not None:
            yield Finding(keyword.lineno, written, "it names a hosted product", "Leave it out.")
        elif name not in _JUDGED and (why := reasons.differing(f"{_TRAINER}({name})")):
            yield Finding(keyword.lineno, written, f"it differs: {why}", kind="advice")
