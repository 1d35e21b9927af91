"""Histograms, matrices, tables and texts: what is stored of each, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lit_studio.base.errors import InvalidTypeError, InvalidValueError
from lit_studio.media.values import confusion, histogram, table, text


def test_a_histogram_counts_every_value_once():
    values = torch.tensor([0.0, 0.1, 0.5, 1.0, float("nan"), float("inf"), -float("inf")])
    found = histogram(values, 4)
    assert (found["low"], found["high"], found["counts"]) == (0.0, 1.0, [2, 0, 1, 1])
    assert (found["n"], found["nan"], found["inf"]) == (7, 1, 2)
    assert found["mean"] == pytest.approx(0.4)
    json.dumps(found, allow_nan=False)


def test_a_histogram_of_one_value_or_of_none_that_is_finite_is_one_too():
    assert sum(histogram([3.0], 8)["counts"]) == 1
    found = histogram([float("nan")] * 3, 8)
    assert (sum(found["counts"]), found["nan"], found["mean"]) == (0, 3, "nan")
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(("values", "bins"), [([], 8), ([1.0], 0), ([1.0], 513), ([1.0], True), ([1.0], 2.5)])
def test_a_histogram_that_can_not_be_drawn_is_refused(values, bins):
    with pytest.raises(InvalidValueError):
        histogram(values, bins)


def test_pairs_are_counted_row_truth_column_guess():
    found = confusion((torch.tensor([0, 0, 1, 2]), np.array([0, 1, 1, 2])), ["cat", "dog", "emu"])
    assert found == {"labels": ["cat", "dog", "emu"], "matrix": [[1, 1, 0], [0, 1, 0], [0, 0, 1]]}
    assert confusion((["b", "a"], ["b", "b"]), None) == {"labels": ["a", "b"], "matrix": [[0, 1], [0, 1]]}
    assert confusion(([1, 1], [0, 1]), None)["labels"] == ["0", "1"]


def test_a_matrix_is_taken_as_it_is():
    assert confusion([[1, 2], [3, 4]], None) == {"labels": ["0", "1"], "matrix": [[1, 2], [3, 4]]}
    assert confusion(torch.tensor([[0.5, float("nan")], [0, 1]]), None)["matrix"][0] == [0.5, "nan"]


@pytest.mark.parametrize(
    ("value", "labels", "words"),
    [
        (np.zeros((2, 3)), None, "no confusion matrix"),
        (np.zeros((2, 2)), ["a"], "one label for each class"),
        (([0, 1], [0]), None, "same number of classes"),
        (([], []), None, "same number of classes"),
        (([0, 3], [0, 1]), ["a", "b"], "has no label"),
        ((["x"], ["y"]), ["x"], "has no label"),
        (([0.5], [0.1]), None, "not scores"),
        ((np.zeros((2, 3)), [0, 1]), None, "one dimension"),
        (np.zeros((201, 201)), None, "can't be shown"),
        (([500], [0]), None, "can't be shown"),
    ],
)
def test_what_is_no_confusion_is_told(value, labels, words):
    with pytest.raises(InvalidValueError, match=words):
        confusion(value, labels)


EXPECTED = {"columns": ["a", "b"], "rows": [[1, "x"], [2, "y"]], "total": 2}


@pytest.mark.parametrize(
    "rows",
    [
        [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
        {"a": [1, 2], "b": ["x", "y"]},
        {"a": torch.tensor([1, 2]), "b": ("x", "y")},
        {"a": np.array([1, 2]), "b": ["x", "y"]},
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_every_usual_table_is_one(rows):
    assert table(rows) == (EXPECTED, "")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames_are_tables(library):
    frame = pytest.importorskip(library).DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert table(frame) == (EXPECTED, "")
    longer = pytest.importorskip(library).DataFrame({"a": range(1500)})
    assert table(longer)[1] == "500 of its 1,500 rows"


def test_cells_are_what_json_can_hold():
    row = [None, True, 1.5, float("inf"), torch.tensor(2), np.float32(0.5), 1 << 70, "x" * 600, {1: 2}]
    found, _ = table([row])
    assert found["rows"][0][:6] == [None, True, 1.5, "inf", 2, 0.5]
    assert found["rows"][0][6] == str(1 << 70)
    assert len(found["rows"][0][7]) == 500
    json.dumps(found, allow_nan=False)


def test_a_missing_key_leaves_a_cell_empty():
    assert table([{"a": 1}, {"b": 2}])[0]["rows"] == [[1, None], [None, 2]]


def test_a_long_table_says_what_it_lost():
    found, lost = table({f"c{i}": range(1500) for i in range(70)})
    assert (len(found["rows"]), len(found["columns"]), found["total"]) == (1000, 60, 1500)
    assert lost == "500 of its 1,500 rows and 10 of its 70 columns"


@pytest.mark.parametrize("rows", ["text", 5, [1, 2], [{"a": 1}, [2]], {"a": 5}])
def test_what_is_no_table_is_told(rows):
    with pytest.raises(InvalidTypeError):
        table(rows)


@pytest.mark.parametrize("rows", [{"a": [1], "b": [1, 2]}, [[1], [1, 2]]])
def test_a_ragged_table_is_told(rows):
    with pytest.raises(InvalidValueError, match="one length"):
        table(rows)


def test_a_text_is_kept_and_cut():
    assert text("Grüße 🦉 <script>") == ({"text": "Grüße 🦉 <script>"}, "")
    cut, lost = text("x" * 100_001)
    assert len(cut["text"]) == 100_000
    assert lost == "all behind its first 100,000 characters"
    json.dumps(text("\ud800")[0], ensure_ascii=False).encode()
    with pytest.raises(InvalidTypeError):
        text(5)
