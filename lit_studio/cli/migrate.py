"""``lit-studio migrate``: the diff that brings a program here, and what in it is not supported.

It must not know how a program is read.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.text import Text

from lit_studio.cli import terminal
from lit_studio.studio import migration, words

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def migrate(path: Path, write: bool, as_json: bool) -> int:
    """Show, and with ``write`` make, the changes at ``path``; 1 if something there is not supported, else 0."""
    files, written = [], []
    for one in migration.migrate(path):
        files.append(one)
        if not as_json:
            _show(one)
        if write and (done := migration.write(one)) is not None:
            written.append(done)
    unsupported = sum(len(one.unsupported) for one in files)
    if as_json:
        terminal.print_json(_described(files, written, unsupported))
    else:
        _conclude(path, files, written, write, unsupported)
    return int(unsupported > 0)


def _show(one: migration.Migrated) -> None:
    """The diff on stdout, where ``git apply`` may read it; what to look at on stderr."""
    name = _shown(one.path)
    for line in one.diff(name).splitlines():
        terminal.data().print(Text(line, style=_COLOURS.get(line[:1], "")), soft_wrap=True)
    sys.stdout.flush()
    for finding in one.findings:
        bad = finding.kind == "unsupported"
        place = (
            f"{name}:{finding.line}" if finding.cell is None else f"{name}: cell {finding.cell}, line {finding.line}"
        )
        mark = ("✗", "bold red") if bad else ("·", "yellow")
        terminal.talk().print(Text.assemble(mark, f" {place}: {finding.name}: {finding.reason}"), soft_wrap=True)
        if finding.advice:
            terminal.talk().print(Text(f"    {finding.advice}"), soft_wrap=True)


def _conclude(path: Path, files: list[Any], written: list[Any], write: bool, unsupported: int) -> None:
    changed = sum(one.changed for one in files)
    if not changed and not unsupported:
        told = "nothing to change" if files else "nothing here names Lightning"
        terminal.note(f"{_shown(path)}: {told}.")
        return
    names = words.amount(unsupported, "name that is", "names that are") if unsupported else "nothing that is"
    what = words.amount(changed, "file", "files")
    terminal.note(f"{what} {'changed' if write else 'to change'}, {names} not supported.")
    if write:
        for done in written:
            if done.backup is not None:
                terminal.note(f"{_shown(done.path)}: not in git as it was; its old content is in {done.backup.name}")
    elif changed:
        terminal.note(f"Change them with: lit-studio migrate {_shown(path)} --write")


def _described(files: list[migration.Migrated], written: list[migration.Written], unsupported: int) -> dict[str, Any]:
    """What ``--json`` tells; the keys are stable."""
    return {
        "changed": sum(one.changed for one in files),
        "unsupported": unsupported,
        "files": [
            {
                "path": _shown(one.path),
                "changed": one.changed,
                "diff": one.diff(_shown(one.path)),
                "findings": [asdict(finding) for finding in one.findings],
            }
            for one in files
        ],
        "written": [{"path": _shown(done.path), "backup": done.backup and _shown(done.backup)} for done in written],
    }


def _shown(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
