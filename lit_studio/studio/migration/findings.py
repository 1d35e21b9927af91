"""What a migration finds in a file: its text before and after, and what a person must look at.

It must not know how either is found.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["unsupported", "advice"]


@dataclass(frozen=True, order=True)
class Finding:
    """Something that replacing names doesn't mend.

    Attributes:
        line: in the file; in a notebook in the cell.
        name: what the code names.
        reason: why it is told.
        advice: what to do.
        kind: ``"unsupported"``: the program won't run as it is; ``"advice"``: it will, but look.
        cell: the number of a notebook's cell, from 1, counting all; None in other files.
    """

    line: int
    name: str
    reason: str
    advice: str = ""
    kind: Kind = "unsupported"
    cell: int | None = None


@dataclass(frozen=True)
class Part:
    """A piece of text whose changes are shown together: a file, or a cell of a notebook."""

    before: str
    after: str
    cell: int | None = None


@dataclass(frozen=True)
class Migrated:
    """One file, before and after.

    Attributes:
        path: where it lies.
        data: the file's bytes as they should become.
        parts: its pieces; one for most files, one for each cell of a notebook.
        findings: what a person must look at, in order.
        changed: whether ``data`` differs from what is there.
    """

    path: Path
    data: bytes
    parts: tuple[Part, ...]
    findings: tuple[Finding, ...] = field(default=())
    changed: bool = False

    @property
    def unsupported(self) -> list[Finding]:
        """What keeps the program from running."""
        return [finding for finding in self.findings if finding.kind == "unsupported"]

    def diff(self, name: str | None = None) -> str:
        """What would change, as a unified diff; empty if nothing would.

        Args:
            name: how the file is called in it; its path by default.
        """
        return "".join(self._diff_lines(name or str(self.path)))

    def _diff_lines(self, name: str) -> Iterator[str]:
        for part in self.parts:
            if part.before == part.after:
                continue
            shown = name if part.cell is None else f"{name} (cell {part.cell})"
            before, after = part.before.splitlines(keepends=True), part.after.splitlines(keepends=True)
            for line in difflib.unified_diff(before, after, f"a/{shown}", f"b/{shown}", n=2):
                yield line if line.endswith("\n") else f"{line}\n"
