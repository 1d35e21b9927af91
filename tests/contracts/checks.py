"""The house's rules as functions: each looks at a tree of sources and returns what breaks its rule, one line each.

They must not know whether the tree is the real one or a copy with a planted fault.
"""

from __future__ import annotations

import ast
import builtins
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
BANNED_NAMES = {"utils", "util", "utilities", "helpers", "helper", "common", "misc", "manager"}
DOORS = {("lit_studio", "pytorch"), ("lit_studio", "fabric")}
BUDGETS = {"trainer": 9_000}
# A fit, from its call to the optimizer; and what a loop of one's own uses instead.
SPINE = ("trainer/trainer.py", "trainer/execution.py", "trainer/loop.py", "trainer/step.py", "fabric/fabric.py")
SPINE_BUDGET = 1_600
# What Python's own protocols ask for, and facts of the operating system: no StudioError can stand in their place.
PROTOCOL_ERRORS = {
    "AttributeError",
    "IndexError",
    "KeyError",
    "KeyboardInterrupt",
    "NotImplementedError",
    "OSError",
    "StopIteration",
    "SystemExit",
}
# The block codec fails like ``struct`` does; those who read runs turn it into a RunRecordError that names the file.
CODECS = {"lit_studio/base/runs/log.py"}
# Run by their path, in kernels whose environment has no Lit Studio in it, and so none of its errors.
BY_PATH = {"lit_studio/kernels/boot.py", "lit_studio/kernels/journal.py"}
SILENT_TOKENS = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
TYPESCRIPT = ("*.ts", "*.tsx")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(package: Path) -> list[Path]:
    """All Python files under ``package``, sorted."""
    return sorted(package.rglob("*.py"))


def typescript_files(source: Path) -> list[Path]:
    """All TypeScript files under ``source``, sorted."""
    return sorted(path for pattern in TYPESCRIPT for path in source.rglob(pattern))


def count_lines(path: Path) -> int:
    """How many lines ``path`` has."""
    return len(path.read_text(encoding="utf-8").splitlines())


def count_code_lines(path: Path) -> int:
    """How many lines of ``path`` hold code: docstrings, comments and blank lines don't count."""
    text = path.read_text(encoding="utf-8")
    words: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function | ast.ClassDef | ast.Module) and ast.get_docstring(node, clean=False) is not None:
            words.update(range(node.body[0].lineno, (node.body[0].end_lineno or node.body[0].lineno) + 1))
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SILENT_TOKENS:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - words)


def long_files(files: list[Path], root: Path) -> list[str]:
    """Files of more than :data:`MAX_FILE_LINES` lines."""
    counted = ((path, count_lines(path)) for path in files)
    return [
        f"{path.relative_to(root)}: {n} lines, {MAX_FILE_LINES} allowed" for path, n in counted if n > MAX_FILE_LINES
    ]


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Every function in ``tree`` with its qualified name, nested ones too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function | ast.ClassDef):
            name = f"{prefix}{node.name}"
            if isinstance(node, Function):
                yield name, node
            yield from functions(node, f"{name}.")
        else:
            yield from functions(node, prefix)


def long_functions(package: Path) -> list[str]:
    """Functions of more than :data:`MAX_FUNCTION_LINES` lines, from ``def`` to their last line."""
    found = []
    for path in python_files(package):
        for name, node in functions(parse(path)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                where = f"{path.relative_to(package.parent)}:{node.lineno}"
                found.append(f"{where}: {name} has {length} lines, {MAX_FUNCTION_LINES} allowed")
    return found


def banned_names(files: list[Path], root: Path) -> list[str]:
    """Files and folders whose name says nothing of their content; the doors have the names that Lightning gave."""
    return [
        str(path.relative_to(root))
        for path in files
        if path.relative_to(root).parts[:2] not in DOORS
        and BANNED_NAMES & {part.removesuffix(".py").split(".")[0].lstrip("_") for part in path.relative_to(root).parts}
    ]


def outgrown_rooms(package: Path) -> list[str]:
    """Rooms of more lines of code than their budget; decision 0006 says what counts."""
    counted = {room: sum(map(count_code_lines, python_files(package / room))) for room in BUDGETS}
    return [f"{room}/: {n} lines of code, {BUDGETS[room]} allowed" for room, n in counted.items() if n > BUDGETS[room]]


def outgrown_spine(package: Path) -> list[str]:
    """The trainer's spine, which is to be read in one sitting, if it is too long for that."""
    spine = [package / name for name in SPINE if (package / name).is_file()]
    total = sum(map(count_lines, spine))
    names = ", ".join(path.name for path in spine)
    return [f"trainer's spine ({names}): {total} lines, {SPINE_BUDGET} allowed"] if total > SPINE_BUDGET else []


def parse(path: Path) -> ast.Module:
    """The syntax tree of ``path``."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def openings(package: Path) -> list[str]:
    """Modules that don't open with what their job is and what they must not know."""
    found = []
    for path in python_files(package):
        docstring = ast.get_docstring(parse(path)) or ""
        where = path.relative_to(package.parent)
        if not docstring:
            found.append(f"{where}: no docstring")
        elif not re.search(r"\bmust not\b", docstring):
            found.append(f"{where}: the docstring doesn't say what the module must not know")
    return found


def typescript_openings(source: Path) -> list[str]:
    """TypeScript files, tests aside, that don't open with a comment on their job and what they must not know."""
    found = []
    for path in typescript_files(source):
        if ".test." in path.name:
            continue
        text = path.read_text(encoding="utf-8").lstrip()
        comment = re.match(r"/\*.*?\*/|(?://[^\n]*\n)+", text, re.DOTALL)
        if comment is None or not re.search(r"must\s+(?:\*\s+|//\s+)?not\b", comment[0]):
            found.append(
                f"{path.relative_to(source.parent)}: the opening comment doesn't say what the file must not know"
            )
    return found


def foreign_errors(package: Path) -> list[str]:
    """``raise`` of a built-in error where a StudioError belongs."""
    forbidden = {
        name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
    } - PROTOCOL_ERRORS
    found = []
    for path in python_files(package):
        where = path.relative_to(package.parent)
        for node in ast.walk(parse(path)) if where.as_posix() not in CODECS | BY_PATH else ():
            raised = node.exc if isinstance(node, ast.Raise) else None
            if isinstance(raised, ast.Call):
                raised = raised.func
            if isinstance(raised, ast.Name) and raised.id in forbidden:
                found.append(f"{where}:{node.lineno}: raises {raised.id}, not a StudioError")
    return found
