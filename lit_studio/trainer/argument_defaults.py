"""Arguments that a constructor takes from the environment where nobody passed them, and those that it doesn't take.

It must not know what the arguments mean.
"""

from __future__ import annotations

import inspect
import os
from ast import literal_eval
from collections.abc import Callable
from difflib import get_close_matches
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from lit_studio.base.errors import InvalidTypeError
from lit_studio.base.old_arguments import OLD_ARGUMENTS

P = ParamSpec("P")
R = TypeVar("R")


def with_defaults_from_environment(init: Callable[P, R]) -> Callable[P, R]:
    """Let ``__init__`` take ``PL_<CLASS>_<ARGUMENT>``, as in ``PL_TRAINER_DEVICES=2``, for what isn't passed.

    A value is read as a Python literal, and as text where it is none. Arguments by position are taken too, in the
    order of the signature.

    Args:
        init: a constructor with keyword arguments only.

    Raises:
        InvalidTypeError: when called with an argument that it doesn't have; says what it may be called.
    """
    names = list(inspect.signature(init).parameters)[1:]

    @wraps(init)
    def filled(self: Any, *args: Any, **kwargs: Any) -> Any:
        if len(args) > len(names):
            raise InvalidTypeError(f"{type(self).__name__} takes {len(names)} arguments but {len(args)} were given")
        for name in kwargs.keys() - set(names):
            raise _unexpected(type(self), name, names)
        passed = {**dict(zip(names, args, strict=False)), **kwargs}
        return cast(Any, init)(self, **{**_from_environment(type(self).__name__, names), **passed})

    return cast(Callable[P, R], filled)


def _unexpected(owner: type, name: str, names: list[str]) -> InvalidTypeError:
    near = get_close_matches(name, names, n=1)
    old = OLD_ARGUMENTS.get(name) if any(one.__name__ == "Trainer" for one in owner.__mro__) else None
    return InvalidTypeError(
        f"{owner.__name__}.__init__() got an unexpected keyword argument {name!r}",
        advice=old or (f"Did you mean {near[0]!r}?" if near else None),
    )


def _from_environment(owner: str, names: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        text = os.environ.get(f"PL_{owner}_{name}".upper())
        if text:
            try:
                found[name] = literal_eval(text)
            except (ValueError, SyntaxError):
                found[name] = text
    return found
