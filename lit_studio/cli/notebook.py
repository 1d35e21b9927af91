"""``lit-studio run NOTEBOOK``: run it headless, show how its training goes, keep what it printed and drew.

It must not know how cells are executed; it reads the notebook, shows the progress and writes the result.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import nbformat
from rich.text import Text

from lit_studio.base.errors import InvalidValueError, NotebookError
from lit_studio.base.runs import RunDirectory, RunStatus
from lit_studio.cli import terminal
from lit_studio.cli.execution import Execution, Outcome
from lit_studio.cli.progress import Follower, ProgressDisplay
from lit_studio.cli.runs import describe_result, show_result, shown_path
from lit_studio.studio import words

STATUS = {"finished": 0, "failed": 1, "timeout": 1, "interrupted": 130, "terminated": 143}
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
Runs = list[tuple[RunDirectory, RunStatus]]


def run_notebook(path: Path, output: Path | None, timeout: float | None, kernel: str | None, as_json: bool) -> int:
    """Run the notebook at ``path`` and print its numbers.

    Args:
        path: the notebook.
        output: where the executed notebook goes (a file, or a folder that exists).
        timeout: seconds, None for no limit.
        kernel: a kernel's name instead of the notebook's own.
        as_json: print one JSON object instead.

    Returns:
        the exit status: 0, 1 (a cell failed or time was up), 130 or 143.

    Raises:
        NotebookError: the file is no notebook, or its kernel isn't here.
        InvalidValueError: there is no such file, or the output would replace the notebook itself.
    """
    path = path.resolve()
    notebook = read_notebook(path)
    target = _target(path, output)
    name = kernel or notebook.metadata.get("kernelspec", {}).get("name") or "python3"
    _check_kernel(name)
    execution = Execution(notebook, path, name, timeout)
    outcome, runs = _execute(execution, path)
    write_notebook(notebook, target)
    if as_json:
        terminal.print_json(_report(path, target, outcome, runs))
    else:
        _show(notebook, target, outcome, runs, timeout)
    return STATUS[outcome.state]


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """The notebook at ``path`` in today's format.

    Raises:
        InvalidValueError: there is no such file.
        NotebookError: it can't be read as a notebook.
    """
    if not path.is_file():
        raise InvalidValueError("There is no such notebook", value=str(path))
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise NotebookError(f"{path} is no notebook that can be read ({reason})") from error
    return notebook


def write_notebook(notebook: nbformat.NotebookNode, target: Path) -> None:
    """Write ``notebook`` to ``target``, whole or not at all."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    nbformat.write(notebook, draft)
    draft.replace(target)


def _target(path: Path, output: Path | None) -> Path:
    if output is None:
        return path.with_name(f"{path.stem}.executed.ipynb")
    target = (output / path.name if output.is_dir() else output).resolve()
    if target == path:
        raise InvalidValueError("The output would replace the notebook itself", value=str(output), valid="another path")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _check_kernel(name: str) -> None:
    from jupyter_client.kernelspec import KernelSpecManager

    known = KernelSpecManager().find_kernel_specs()
    if name not in known:
        advice = (
            "Use one that is here: --kernel python3" if "python3" in known else "Install one: pip install ipykernel"
        )
        here = ", ".join(sorted(known)) or "none"
        raise NotebookError("The notebook's kernel isn't here", value=name, valid=here, advice=advice)


def _execute(execution: Execution, path: Path) -> tuple[Outcome, Runs]:
    since, cells = time.time(), len(execution.notebook.cells)
    follower = Follower(0, since)

    def look() -> Runs:
        follower.pid = execution.kernel_pid
        return follower.look() if execution.kernel_pid else []

    with ProgressDisplay(terminal.talk(), path.name, look) as display:
        outcome = execution.run(
            lambda: display.update(f"{path.name}: cell {execution.cell + 1} of {cells}", execution.cell, cells)
        )
    return outcome, look()


def _report(path: Path, target: Path, outcome: Outcome, runs: Runs) -> dict[str, Any]:
    return {
        "notebook": str(path),
        "output": str(target),
        "state": outcome.state,
        "seconds": round(outcome.seconds, 3),
        "failed_cell": outcome.cell,
        "error": _COLOURS.sub("", outcome.error) or None,
        "runs": [describe_result(run, status, outcome.started) for run, status in runs],
    }


def _show(notebook: nbformat.NotebookNode, target: Path, outcome: Outcome, runs: Runs, timeout: float | None) -> None:
    if outcome.state == "failed" and outcome.cell is not None:
        _show_failure(notebook, outcome.cell, outcome.error)
    elif outcome.state == "timeout":
        terminal.fail(f"Time was up after {words.duration(timeout or 0)}, in {_cell_name(notebook, outcome.cell)}.")
    elif outcome.state != "finished":
        terminal.note(f"Stopped in {_cell_name(notebook, outcome.cell)}.")
    for run, status in runs:
        show_result(run, status, outcome.started)
    label = "Executed notebook" if outcome.state == "finished" else "Notebook as far as it got"
    terminal.data().print(Text(f"{label}: {shown_path(target)}"), soft_wrap=True)


def _cell_name(notebook: nbformat.NotebookNode, index: int | None) -> str:
    return f"cell {(index or 0) + 1} of {len(notebook.cells)}"


def _show_failure(notebook: nbformat.NotebookNode, index: int, error: str) -> None:
    console = terminal.talk()
    terminal.fail(f"{_cell_name(notebook, index).capitalize()} failed.")
    source = notebook.cells[index].source
    numbered = (f"{number:>4}  {line}" for number, line in enumerate(source.splitlines(), 1))
    console.print(Text("\n".join(numbered)), soft_wrap=True)
    coloured = Text.from_ansi(error) if console.color_system else Text(_COLOURS.sub("", error))
    console.print(coloured, soft_wrap=True)
