"""The terminal's two voices: data on stdout, talk on stderr; colours only where a person looks.

It must not know of any command.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Wide enough that nothing is cut off where a program reads; a person's terminal has its own width.
_PIPE_WIDTH = 200

PERSON_HINT = "dim"


def data() -> Console:
    """Where results go."""
    return _console(stderr=False)


def talk() -> Console:
    """Where progress, notes and errors go."""
    return _console(stderr=True)


def _console(stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    # rich itself honours NO_COLOR, FORCE_COLOR and TERM.
    width = None if stream.isatty() or os.environ.get("COLUMNS") else _PIPE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """``value`` as one JSON object on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False, default=str) + "\n")


def note(text: str) -> None:
    """One line of talk, taken literally."""
    talk().print(Text(text), soft_wrap=True)


def fail(what: str, advice: str = "") -> None:
    """An error in the house's form: what is wrong, then the next step."""
    console = talk()
    console.print(Text.assemble(("Error: ", "bold red"), what), soft_wrap=True)
    for line in advice.splitlines():
        console.print(Text(f"  {line}"), soft_wrap=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> Table:
    """A plain table without rules; columns whose name begins with ``>`` are set to the right."""
    drawn = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        show_header=any(column.strip(">") for column in columns),
        header_style=PERSON_HINT,
    )
    for number, column in enumerate(columns):
        last = number == len(columns) - 1
        drawn.add_column(
            column.removeprefix(">"),
            justify="right" if column.startswith(">") else "left",
            overflow="fold" if last else "ellipsis",
            no_wrap=not last,
        )
    for row in rows:
        drawn.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return drawn
