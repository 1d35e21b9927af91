"""What is stored of a histogram, a matrix, a table and a text: small JSON objects that a page can draw.

It must not know where they are stored. NaN and infinities travel as words, since JSON has no numbers for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_studio.base.errors import InvalidTypeError, InvalidValueError
from lit_studio.base.runs.status import finite_or_text
from lit_studio.media.arrays import as_array

MOST_BINS, MOST_LABELS = 512, 200
MOST_ROWS, MOST_COLUMNS, MOST_CELL = 1000, 60, 500
MOST_TEXT = 100_000

Content = tuple[dict[str, Any], str]
"""A JSON object, and what was left out, in words; empty if nothing was."""


def histogram(values: Any, bins: int) -> dict[str, Any]:
    """Counts of ``values`` in ``bins`` equal steps from the smallest to the largest finite one.

    Raises:
        InvalidTypeError: no array.
        InvalidValueError: no values, or a number of bins that can't be drawn.
    """
    if isinstance(bins, bool) or not isinstance(bins, int) or not 1 <= bins <= MOST_BINS:
        raise InvalidValueError("A histogram has so many bins", value=bins, valid=f"1 to {MOST_BINS}")
    array = as_array(values, "values").astype(np.float64).ravel()
    if not array.size:
        raise InvalidValueError("A histogram needs values", value=array.shape, valid="at least one")
    finite = array[np.isfinite(array)]
    counts, edges = np.histogram(finite, bins) if finite.size else (np.zeros(bins, np.int64), np.zeros(2))
    return {
        "low": finite_or_text(float(edges[0])),
        "high": finite_or_text(float(edges[-1])),
        "counts": counts.tolist(),
        "n": int(array.size),
        "mean": finite_or_text(float(finite.mean())) if finite.size else "nan",
        "std": finite_or_text(float(finite.std())) if finite.size else "nan",
        "nan": int(np.isnan(array).sum()),
        "inf": int(np.isinf(array).sum()),
    }


def confusion(value: Any, labels: Sequence[Any] | None) -> dict[str, Any]:
    """A square matrix of counts, row = truth, column = guess, and its labels.

    Args:
        value: the matrix, or a tuple ``(truth, guess)`` of as many class numbers or labels each.
        labels: a label for each class; None numbers them.

    Raises:
        InvalidTypeError: no array.
        InvalidValueError: not square, other lengths, a class without a label, or too many classes.
    """
    if isinstance(value, tuple) and len(value) == 2:
        matrix, labels = _count_pairs(value[0], value[1], labels)
    else:
        matrix = as_array(value, "a confusion matrix")
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
            raise InvalidValueError(
                "This is no confusion matrix", value=matrix.shape, valid="(N, N), or a tuple (truth, guess)"
            )
    size = len(matrix)
    if size > MOST_LABELS:
        raise InvalidValueError("So many classes can't be shown", value=size, valid=f"at most {MOST_LABELS}")
    names = [str(label) for label in labels] if labels is not None else [str(index) for index in range(size)]
    if len(names) != size:
        raise InvalidValueError("There must be one label for each class", value=len(names), valid=str(size))
    return {"labels": names, "matrix": [[finite_or_text(cell) for cell in row] for row in matrix.tolist()]}


def _count_pairs(truth: Any, guess: Any, labels: Sequence[Any] | None) -> tuple[NDArray[Any], Sequence[Any] | None]:
    first, second = _classes(truth), _classes(guess)
    if len(first) != len(second) or not first:
        raise InvalidValueError(
            "Truth and guess must have the same number of classes, at least one", value=(len(first), len(second))
        )
    numbered = all(isinstance(each, int) for each in first + second)
    if numbered and min(first + second) >= 0:
        size = len(labels) if labels is not None else max(first + second) + 1
        if size > MOST_LABELS:
            raise InvalidValueError("So many classes can't be shown", value=size, valid=f"at most {MOST_LABELS}")
        places: dict[Any, int] = {index: index for index in range(size)}
    else:
        labels = labels if labels is not None else sorted(set(first + second), key=str)
        places = {label: index for index, label in enumerate(labels)}
    strange = [each for each in first + second if each not in places]
    if strange:
        raise InvalidValueError("This class has no label", value=strange[0], valid=", ".join(map(str, places)))
    matrix = np.zeros((len(places), len(places)), np.int64)
    np.add.at(matrix, ([places[each] for each in first], [places[each] for each in second]), 1)
    return matrix, labels


def _classes(given: Any) -> list[Any]:
    if isinstance(given, Sequence) and any(isinstance(each, str) for each in given):
        return list(given)
    array = as_array(given, "classes")
    if array.ndim != 1:
        raise InvalidValueError("Classes come in one dimension", value=array.shape, valid="(N,)")
    if array.dtype.kind == "f" and not np.array_equal(array, np.rint(array)):
        raise InvalidValueError("Classes are whole numbers or texts, not scores", valid="e.g. scores.argmax(1)")
    return [int(each) for each in array.tolist()]


def table(rows: Any) -> Content:
    """Columns and rows of cells.

    Args:
        rows: a list of dicts, a dict of columns, a DataFrame of pandas' or polars', or a list of lists.

    Raises:
        InvalidTypeError: none of these.
        InvalidValueError: columns or rows of different lengths.
    """
    columns, cells = _columns_and_rows(rows)
    total, wide = len(cells), len(columns)
    kept = [[_cell(cell) for cell in row[:MOST_COLUMNS]] for row in cells[:MOST_ROWS]]
    lost = []
    if total > MOST_ROWS:
        lost.append(f"{total - MOST_ROWS:,} of its {total:,} rows")
    if wide > MOST_COLUMNS:
        lost.append(f"{wide - MOST_COLUMNS:,} of its {wide:,} columns")
    names = [str(name)[:MOST_CELL] for name in columns[:MOST_COLUMNS]]
    return {"columns": names, "rows": kept, "total": total}, " and ".join(lost)


def _columns_and_rows(rows: Any) -> tuple[list[Any], list[Sequence[Any]]]:
    if callable(getattr(rows, "itertuples", None)):  # pandas
        return list(rows.columns), list(rows.itertuples(index=False, name=None))
    if callable(getattr(rows, "iter_rows", None)):  # polars
        return list(rows.columns), list(rows.iter_rows())
    if isinstance(rows, Mapping):
        columns = {name: _as_list(column) for name, column in rows.items()}
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise InvalidValueError("The columns of a table have one length", value=lengths)
        return list(columns), list(zip(*columns.values(), strict=True))
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        raise InvalidTypeError(
            "This is no table", value=type(rows).__name__, valid="a list of dicts, a dict of lists, or a DataFrame"
        )
    if all(isinstance(row, Mapping) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        return names, [[row.get(name) for name in names] for row in rows]
    if not all(isinstance(row, Sequence) and not isinstance(row, str) for row in rows):
        raise InvalidTypeError("The rows of a table are all dicts or all lists", value=type(rows[0]).__name__)
    if len({len(row) for row in rows}) > 1:
        raise InvalidValueError("The rows of a table have one length", value=sorted({len(row) for row in rows}))
    return list(range(len(rows[0]))), list(rows)


def _as_list(column: Any) -> list[Any]:
    if isinstance(column, str) or not hasattr(column, "__len__"):
        raise InvalidTypeError("A column is a list of cells", value=column)
    if callable(getattr(column, "detach", None)) or isinstance(column, np.ndarray):
        return list(as_array(column, "a column").tolist())
    return list(column)


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value if not isinstance(value, str) or len(value) <= MOST_CELL else value[: MOST_CELL - 1] + "…"
    if callable(getattr(value, "item", None)) and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, int) and abs(value) < 1 << 53:
        return value
    if isinstance(value, float):
        return finite_or_text(value)
    text = str(value)
    return text if len(text) <= MOST_CELL else text[: MOST_CELL - 1] + "…"


def text(words: Any) -> Content:
    """A text, cut off where it is too long.

    Raises:
        InvalidTypeError: no text.
    """
    if not isinstance(words, str):
        raise InvalidTypeError("This is no text", value=type(words).__name__, valid="a str")
    cut = words[:MOST_TEXT].encode("utf-8", "replace").decode("utf-8")  # a lone surrogate can't be written
    return {"text": cut}, f"all behind its first {MOST_TEXT:,} characters" if len(words) > MOST_TEXT else ""
