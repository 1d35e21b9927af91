"""Files that may name Lightning: scripts, notebooks, configurations, lists of requirements.

It must not know how Python is read, nor write anything.
"""

from __future__ import annotations

import ast
import codecs
import io
import json
import os
import re
import tokenize
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from lit_studio.base.errors import InvalidValueError, PathNotFoundError
from lit_studio.studio.migration import renaming
from lit_studio.studio.migration.findings import Finding, Migrated, Part
from lit_studio.studio.migration.reading import lines_of, read

SUFFIXES = (".py", ".ipynb", ".yaml", ".yml", ".toml")
_SKIPPED = {"__pycache__", "node_modules", "site-packages", "build", "dist", "lightning_logs"}
_REQUIREMENTS = re.compile(r"(requirements|constraints)[\w.-]*\.txt")
# Names in a list, with extras and versions, but not a key of a table such as "lightning = …" of another tool.
_PACKAGE = r"(lightning|pytorch[-_.]lightning|lightning[-_.]fabric)"
_REQUIRED = re.compile(rf"""[\s"'-]*{_PACKAGE}\s*(\[[^\]]*\])?\s*([<>=!~;@"'].*)?""")
_INSTALLED = re.compile(rf"\b(?:pip|uv|conda|mamba)3?\b.*\binstall\b.*(?<![\w/-]){_PACKAGE}(?![\w/-])")
_MAGIC = re.compile(r"^(\s*)(?:[%!?]|[\w.]+\?{1,2}\s*$)|^(\s*)[\w., ]+=\s*[%!]")
_PYTHON_CELLS = ("%%time", "%%timeit", "%%capture", "%%prun")
_LARGEST = 4_000_000  # bytes; what is larger is data


def migrate(path: Path | str) -> Iterator[Migrated]:
    """Each file at ``path`` that names Lightning, in order of their paths.

    Args:
        path: a file, or a folder with all that lies in it, save environments, builds, logs and hidden folders.

    Raises:
        PathNotFoundError: there is nothing.
        InvalidValueError: a single file of a kind that isn't read.
    """
    path = Path(path)
    if path.is_dir():
        found = (migrate_file(file) for file in _files(path))
        yield from (one for one in found if one.changed or one.findings)
        return
    if not path.exists():
        raise PathNotFoundError("There is no such file or folder", value=str(path))
    if not _is_read(path):
        valid = f"a folder or a file that ends with {', '.join(SUFFIXES)}, or a requirements.txt"
        raise InvalidValueError("Files of this kind are not migrated", value=path.name, valid=valid)
    yield migrate_file(path)


def migrate_file(path: Path) -> Migrated:
    """One file; one that can't be read as what it should be stays, with a finding that says so."""
    data = path.read_bytes()
    if b"lightning" not in data:  # as in each of the names
        return Migrated(path, data, ())
    try:
        if path.suffix == ".ipynb":
            return _notebook(path, data)
        if path.suffix == ".py":
            return _script(path, data)
        return _configuration(path, data)
    except (SyntaxError, UnicodeDecodeError, json.JSONDecodeError, tokenize.TokenError) as error:
        line = getattr(error, "lineno", None) or 1
        reason = f"it can't be read: {getattr(error, 'msg', None) or error}"
        finding = Finding(line, path.name, reason, "Mend it first; nothing in it was changed.")
        return Migrated(path, data, (), (finding,))


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED and not name.startswith(".") and not (here / name / "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            path = here / name
            if _is_read(path) and not path.is_symlink() and path.stat().st_size <= _LARGEST:
                yield path


def _is_read(path: Path) -> bool:
    return path.suffix in SUFFIXES or bool(_REQUIREMENTS.fullmatch(path.name))


# Scripts ------------------------------------------------------------------------------------------------------------


def _script(path: Path, data: bytes) -> Migrated:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    encoding = "utf-8" if mark else encoding
    text = data[len(mark) :].decode(encoding)
    done = read(text)
    after = mark + done.text.encode(encoding)
    return Migrated(path, after, (Part(text, done.text),), done.findings, after != data)


# Notebooks ----------------------------------------------------------------------------------------------------------


def _notebook(path: Path, data: bytes) -> Migrated:
    text = data.decode("utf-8")
    notebook = json.loads(text)
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise json.JSONDecodeError("not a notebook of version 4", text, 0)
    cells = [(n, cell) for n, cell in enumerate(notebook["cells"], 1) if cell.get("cell_type") == "code"]
    sources = {number: "".join(cell.get("source", "")) for number, cell in cells}
    findings = [found for number, source in sources.items() for found in _installs(source, number)]
    readable = {}
    for number, source in sources.items():
        if not _is_python(source):
            continue
        if (python := _without_magics(source)) is not None:
            readable[number] = python
        elif "lightning" in source:
            findings.append(Finding(1, "cell", "it can't be read as Python", "Mend it; it was left.", cell=number))
    after, more = _read_together(sources, readable)
    for number, cell in cells:
        if after[number] != sources[number]:
            new = after[number]
            cell["source"] = new if isinstance(cell["source"], str) else lines_of(new)
    parts = tuple(Part(sources[number], after[number], number) for number in sources)
    changed = any(part.before != part.after for part in parts)
    written = _as_it_was_written(notebook, text).encode("utf-8") if changed else data
    return Migrated(path, written, parts, tuple(sorted([*findings, *more], key=_place)), changed)


def _read_together(sources: dict[int, str], readable: dict[int, str]) -> tuple[dict[int, str], list[Finding]]:
    """The cells' sources with names replaced; one cell imports what another uses, so they are read as one.

    Args:
        sources: as they are, by the cells' numbers.
        readable: those that are Python, without magics, line by line.
    """
    owners: list[tuple[int, int]] = []  # of each line: its cell, and its number there
    for number, python in readable.items():
        owners += [(number, n) for n in range(1, len(lines_of(python)) + 1)]
    whole = [line if line.endswith("\n") else f"{line}\n" for text in readable.values() for line in lines_of(text)]
    done = read("".join(whole))
    new: dict[int, list[str]] = {number: lines_of(source) for number, source in sources.items()}
    for (number, line), before, after in zip(owners, whole, lines_of(done.text), strict=True):
        if after != before:
            new[number][line - 1] = after if new[number][line - 1].endswith("\n") else after.removesuffix("\n")
    findings = []
    for found in done.findings:
        number, line = owners[found.line - 1]
        findings.append(replace(found, line=line, cell=number))
    return {number: "".join(lines) for number, lines in new.items()}, findings


def _without_magics(source: str) -> str | None:
    """``source`` as Python, its magics replaced by ``pass`` if there are any; None if it is none even so."""
    if _parses(source):
        return source
    hidden, continued = [], False
    for line in lines_of(source):
        magic = continued or _MAGIC.match(line)
        continued = bool(magic) and line.rstrip().endswith("\\")
        indent, ending = line[: len(line) - len(line.lstrip())], "\n" if line.endswith("\n") else ""
        hidden.append(f"{indent}pass{ending}" if magic and line.strip() else line)
    python = "".join(hidden)
    return python if _parses(python) else None


def _is_python(source: str) -> bool:
    first = source.lstrip()
    return not first.startswith("%%") or first.startswith(_PYTHON_CELLS)


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _installs(source: str, cell: int) -> Iterator[Finding]:
    for number, line in enumerate(source.splitlines(), 1):
        if found := _INSTALLED.search(line):
            yield _requirement(number, found[1], cell)


def _as_it_was_written(notebook: dict[str, Any], text: str) -> str:
    """``notebook`` as JSON in the form that ``text`` has, or in the usual one if it has none that can be told."""
    indented = re.match(r"\{\r?\n([ \t]*)", text)
    indent = None if indented is None else indented[1]
    plain = text.isascii()
    ending = text[len(text.rstrip()) :]
    return json.dumps(notebook, indent=indent, ensure_ascii=plain) + ending


# Configurations -----------------------------------------------------------------------------------------------------


def _configuration(path: Path, data: bytes) -> Migrated:
    text = data.decode("utf-8")
    lines = text.splitlines(keepends=True)
    listed = path.suffix in (".txt", ".toml") or "environment" in path.name
    findings = []
    for number, line in enumerate(lines, 1):
        if listed and (found := _REQUIRED.fullmatch(line.partition("#")[0].rstrip().rstrip(","))):
            findings.append(_requirement(number, found[1]))
    after = text if path.suffix == ".txt" else "".join(map(renaming.in_configuration, lines))
    return Migrated(path, after.encode("utf-8"), (Part(text, after),), tuple(findings), after != text)


def _requirement(line: int, name: str, cell: int | None = None) -> Finding:
    told = "the program needs another package now"
    return Finding(line, name, told, "Require lit-studio in its place.", kind="advice", cell=cell)


def _place(finding: Finding) -> tuple[int, int, str]:
    return finding.cell or 0, finding.line, finding.name
