"""The error tree: every error says what, which value, what would be valid and what to do."""

from __future__ import annotations

import copy
import pickle

import pytest

from lit_studio.base import errors


def test_message_has_all_parts():
    error = errors.InvalidValueError(
        "max_epochs is out of range.", value=-3, valid="-1 or more", advice="Pass max_epochs=-1."
    )
    assert str(error) == "max_epochs is out of range; got -3; expected -1 or more.\nPass max_epochs=-1."
    assert (error.what, error.value, error.valid) == ("max_epochs is out of range.", -3, "-1 or more")


def test_a_value_of_none_is_shown_and_a_missing_one_is_not():
    assert "got None" in str(errors.StudioError("Wrong", value=None))
    assert "got" not in str(errors.StudioError("Wrong"))


def test_long_values_are_shortened():
    text = str(errors.StudioError("Wrong", value="x" * 10_000))
    assert len(text) < 230
    assert text.endswith("….")


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.InvalidValueError("w"), ValueError),
        (errors.InvalidTypeError("w"), TypeError),
        (errors.InvalidStateError("w"), RuntimeError),
        (errors.MissingDependencyError("tensorboard", extra="tensorboard", purpose="Logging"), ImportError),
        (errors.RunNotFoundError("w"), LookupError),
        (errors.CheckpointNotFoundError("w"), FileNotFoundError),
    ],
)
def test_built_in_types_catch_them_too(error, builtin):
    assert isinstance(error, builtin)
    assert isinstance(error, errors.StudioError)


def test_missing_dependency_names_the_extra():
    error = errors.MissingDependencyError("tensorboard", extra="tensorboard", purpose="TensorBoardLogger")
    assert "pip install 'lit-studio[tensorboard]'" in str(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidValueError("devices is out of range", value=0, valid="1 or more", advice="Pass devices=1."),
        errors.InvalidTypeError("Wrong type", value=lambda: 0),
        errors.MissingDependencyError("tensorboard", extra="tensorboard", purpose="TensorBoardLogger"),
        errors.CheckpointNotFoundError("There is no such checkpoint", value="a.ckpt", advice="Take b.ckpt."),
        errors.RunNotFoundError("No run has this id", value="abcd"),
    ],
)
def test_an_error_crosses_processes_as_it_is(error):
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert (twin.what, twin.valid) == (error.what, error.valid)
        assert repr(twin.value) in (repr(error.value), repr(repr(error.value)))
    if isinstance(error, errors.MissingDependencyError):
        assert (twin.package, twin.extra) == ("tensorboard", "tensorboard")


def test_the_docstring_lists_the_whole_tree():
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.StudioError)
    }
    assert {name for name in classes if name not in errors.__doc__} == set()
