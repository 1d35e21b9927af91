"""Outputs into a notebook's cells when no page is there to do it: where each belongs, and what the file then says.

It must not know how a file is written, nor servers or kernels: a notebook's JSON goes in, and what became of each
request comes out.

The notebook is changed as JSON, not read into a model and written anew: whatever else is in it, the order of its keys
and its indentation stay, so that a diff shows the outputs and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lit_studio.base.errors import InvalidValueError
from lit_studio.kernels.reducer import RequestOutputs

RECOVERED = "lit-recovered"
SKIPPED_FOLDERS = {"node_modules", "__pycache__"}

How = Literal["written", "same", "recovered", "nothing", "missing"]
Notebook = dict[str, Any]
Cell = dict[str, Any]

_INDENT = re.compile(rb"\s*\{\r?\n([ \t]+)\"")
_SPLIT = {"application/javascript", "image/svg+xml"}  # besides text/*, what nbformat writes line by line


@dataclass(frozen=True)
class Outcome:
    """What became of one request.

    Attributes:
        msg_id: the request's.
        how: ``written`` into its cell; ``same``: its cell says so already; ``recovered``: in a new cell, inserted
            because its own was edited or deleted; ``nothing`` was put out for a cell that isn't there any more;
            ``missing``: its cell isn't there, and no new one was wanted.
        cell: the cell's index in the notebook as it is now; None for ``nothing`` and ``missing``.
    """

    msg_id: str
    how: How
    cell: int | None = None


def bring_home(notebook: Notebook, requests: Sequence[RequestOutputs], recover: bool = True) -> list[Outcome]:
    """Put the outcomes of ``requests`` into the cells of ``notebook``, which is changed in place.

    A request belongs to the cell of its id if that still has the source that ran; else to the only cell of equal
    source; else its source and outputs become a cell of their own, tagged ``lit-recovered``, after the edited cell or
    at the end. Of two runs of one cell the later counts. Doing it twice changes nothing more.

    Args:
        notebook: of format 4.
        requests: in the order in which they ran.
        recover: whether there is to be a new cell where there is no other.

    Raises:
        InvalidValueError: this is no notebook of format 4.
    """
    cells = notebook.get("cells")
    if notebook.get("nbformat") != 4 or not isinstance(cells, list):
        raise InvalidValueError("This is no notebook that outputs can be put into", valid="one of format 4")
    requests = _latest(requests)
    places = _places(cells, requests)
    found: list[tuple[RequestOutputs, How, Cell | None]] = []
    for request in requests:
        cell = places.get(request.msg_id)
        if cell is not None:
            found.append((request, _fill(cell, request), cell))
        elif not request.outputs:
            found.append((request, "nothing", None))
        elif recover:
            found.append((request, *_recover(notebook, request)))
        else:
            found.append((request, "missing", None))
    index = {id(cell): number for number, cell in enumerate(cells)}
    return [Outcome(one.msg_id, how, None if cell is None else index[id(cell)]) for one, how, cell in found]


def dump(notebook: Notebook, before: bytes) -> bytes:
    """``notebook`` as the bytes of a file, formatted as ``before`` was."""
    match = _INDENT.match(before)
    indent = match[1].decode() if match else None
    escaped = before.isascii() and b"\\u" in before
    text = json.dumps(notebook, indent=indent, ensure_ascii=escaped, separators=None if indent is None else (",", ": "))
    text += "\n" if before.endswith(b"\n") else ""
    if b"\r\n" in before:
        text = text.replace("\n", "\r\n")
    try:
        return text.encode()
    except UnicodeEncodeError:  # halves of characters
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def find_notebooks(root: Path, requests: Iterable[RequestOutputs], most: int = 2) -> list[Path]:
    """Notebooks below ``root`` that have one of the requests' cells: the same id and the same source.

    Args:
        root: where to look; hidden folders are left out.
        requests: those whose notebook isn't where it was.
        most: stop at so many.
    """
    wanted = {request.cell_id: request.source for request in requests if request.cell_id}
    marks = [cell_id.encode() for cell_id in wanted]
    found: list[Path] = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(one for one in folders if not one.startswith(".") and one not in SKIPPED_FOLDERS)
        for name in sorted(files):
            if not name.endswith(".ipynb") or name.startswith("."):
                continue
            path = Path(folder, name)
            try:
                raw = path.read_bytes()
                if any(mark in raw for mark in marks) and _has_one_of(json.loads(raw), wanted):
                    found.append(path)
            except (OSError, ValueError, TypeError, AttributeError):
                continue
            if len(found) >= most:
                return found
    return found


def source_of(cell: Cell) -> str:
    """A cell's source in one piece."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def with_note(request: RequestOutputs, note: str) -> RequestOutputs:
    """``request`` with a line at its end, on the error stream, that says why there is no more."""
    line = {"output_type": "stream", "name": "stderr", "text": f"[{note}]\n"}
    return RequestOutputs(**{**vars(request), "outputs": [*request.outputs, line]})


def _has_one_of(notebook: Notebook, wanted: dict[str, str]) -> bool:
    return any(wanted.get(cell.get("id", "")) == source_of(cell) for cell in notebook["cells"] if cell.get("id"))


def _latest(requests: Sequence[RequestOutputs]) -> list[RequestOutputs]:
    """Without those whose cell, or whose very source if they name none, ran again later."""
    last = {request.cell_id or request.source: request.msg_id for request in requests}
    return [request for request in requests if last[request.cell_id or request.source] == request.msg_id]


def _places(cells: list[Cell], requests: Sequence[RequestOutputs]) -> dict[str, Cell]:
    """The cell of each request that has one; no cell for two of them."""
    code = [cell for cell in cells if cell.get("cell_type") == "code"]
    by_id = {cell["id"]: cell for cell in code if cell.get("id")}
    places, taken = {}, set()
    for request in requests:
        cell = by_id.get(request.cell_id) if request.cell_id else None
        if cell is not None and (request.state == "aborted" or source_of(cell) == request.source):
            places[request.msg_id] = cell
            taken.add(id(cell))
    for request in requests:
        if request.msg_id in places or request.state == "aborted":  # the journal hasn't the source of what never ran
            continue
        equal = [cell for cell in code if source_of(cell) == request.source]
        if len(equal) == 1 and id(equal[0]) not in taken:
            places[request.msg_id] = equal[0]
            taken.add(id(equal[0]))
    return places


def _fill(cell: Cell, request: RequestOutputs) -> How:
    outputs = [_as_in_file(output) for output in request.outputs]
    before = [_as_in_file(output) for output in cell.get("outputs") or []]
    if before == outputs and cell.get("execution_count") == request.execution_count:
        return "same"
    cell["outputs"] = outputs
    cell["execution_count"] = request.execution_count
    metadata = cell.setdefault("metadata", {})
    if request.timing:
        metadata["execution"] = dict(sorted(request.timing.items()))
    else:
        metadata.pop("execution", None)
    return "written"


def _recover(notebook: Notebook, request: RequestOutputs) -> tuple[How, Cell]:
    """A cell with the source that ran and its outputs; there is never a second one for a request."""
    cells: list[Cell] = notebook["cells"]
    mark = "recovered-" + hashlib.sha256(request.msg_id.encode()).hexdigest()[:12]
    for cell in cells:
        if (cell.get("metadata") or {}).get("lit_studio", {}).get("recovered") == mark:
            return _fill(cell, request), cell
    new: Cell = {"cell_type": "code", "execution_count": request.execution_count}
    if notebook.get("nbformat_minor", 0) >= 5:
        new["id"] = mark
    new["metadata"] = {"lit_studio": {"recovered": mark}, "tags": [RECOVERED]}
    new["outputs"] = [_as_in_file(output) for output in request.outputs]
    new["source"] = request.source.splitlines(True)
    if request.timing:
        new["metadata"] = {"execution": dict(sorted(request.timing.items())), **new["metadata"]}
    edited = [index for index, cell in enumerate(cells) if request.cell_id and cell.get("id") == request.cell_id]
    cells.insert(edited[0] + 1 if edited else len(cells), new)
    return "recovered", new


def _as_in_file(output: dict[str, Any]) -> dict[str, Any]:
    """An output as ``nbformat`` writes it: keys sorted, text line by line."""
    output = {key: output[key] for key in sorted(output)}
    if output.get("output_type") == "stream":
        output["text"] = _lines(output.get("text", ""))
    elif isinstance(output.get("data"), dict):
        output["data"] = {key: _data(key, value) for key, value in sorted(output["data"].items())}
    return {key: _sorted(value) for key, value in output.items()}


def _data(mime: str, value: Any) -> Any:
    if mime.startswith("text/") or mime in _SPLIT:
        return _lines(value)
    is_json = mime == "application/json" or (mime.startswith("application/") and mime.endswith("+json"))
    if not is_json and isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "".join(value)
    return value


def _lines(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "".join(value)
    return value.splitlines(True) if isinstance(value, str) else value


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value
