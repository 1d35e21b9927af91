"""``save_hyperparameters`` and ``hparams``: the arguments an object was made with, kept for checkpoints and loggers.

It must not know the trainer: checkpoints and loggers ask for ``hparams``.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

from torch import nn

from lit_studio.base.errors import InvalidStateError, InvalidTypeError

# Under these a command line's hyper-parameters say how, and of which class, the object is made again. The name is
# Lightning's own, so that it can load the checkpoint too.
INSTANTIATOR, CLASS_PATH = "_instantiator", "_class_path"
OUR_INSTANTIATOR = "lit_studio.command_line.instantiation"  # by its name, as checkpoints have it: it lies a floor above
INSTANTIATED_BY_CLI = "lightning.pytorch.cli.instantiate_module"
_given: ContextVar[tuple[type[Any], dict[str, Any]] | None] = ContextVar("given_hyperparameters", default=None)


@contextmanager
def given_hyperparameters(cls: type[Any], hparams: dict[str, Any]) -> Iterator[None]:
    """Let an instance of ``cls`` that is made within keep ``hparams`` in place of the arguments it sees.

    Args:
        cls: the class; objects of other classes, made inside its ``__init__``, keep their own.
        hparams: plain values that a command line gave.
    """
    token = _given.set((cls, {**hparams, INSTANTIATOR: INSTANTIATED_BY_CLI}))
    try:
        yield
    finally:
        _given.reset(token)


class AttributeDict(dict[str, Any]):
    """A dict whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"Missing attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __repr__(self) -> str:
        if not self:
            return ""
        width = max(map(len, map(str, self)))
        rows = [f'"{key}":{" " * (width - len(str(key)) + 1)}{value}' for key, value in sorted(self.items())]
        return "\n".join(rows)


class HyperparametersMixin:
    """Gives a class ``save_hyperparameters``, ``hparams`` and ``hparams_initial``."""

    CHECKPOINT_HYPER_PARAMS_KEY = "hyper_parameters"
    CHECKPOINT_HYPER_PARAMS_NAME = "hparams_name"
    CHECKPOINT_HYPER_PARAMS_TYPE = "hparams_type"

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._log_hyperparams = False

    def save_hyperparameters(
        self,
        *args: Any,
        ignore: Iterable[str] | str | None = None,
        frame: FrameType | None = None,
        logger: bool = True,
    ) -> None:
        """Keep the arguments of ``__init__`` (of subclasses too) as :attr:`hparams`.

        Args:
            args: names of the arguments to keep, all if none is given; or one dict or Namespace to keep instead.
            ignore: names to leave out.
            frame: the frame of ``__init__``; the caller's by default.
            logger: whether loggers are told.

        Raises:
            InvalidStateError: it isn't called from ``__init__``.
            InvalidTypeError: a single object that is neither a mapping nor a namespace.
        """
        if len(args) == 1 and not args[0]:
            return  # an empty dict or Namespace
        if frame is None:
            current = inspect.currentframe()
            frame = current.f_back if current is not None else None
        told = _given.get()
        given = dict(told[1]) if told is not None and isinstance(self, told[0]) else _init_arguments(self, frame)
        skipped = {ignore} if isinstance(ignore, str) else set(ignore or ())
        kept = {name: value for name, value in given.items() if name not in skipped}
        name: str | None = "kwargs"
        hparams: Any = kept
        if args:
            if len(args) == 1 and not isinstance(args[0], str):
                hparams = args[0]
                name = next((key for key, value in given.items() if value is hparams), None)
            else:
                hparams = {key: given[key] for key in args if isinstance(key, str) and key not in skipped}
        for key, value in kept.items() if hparams is kept else ():
            if isinstance(value, nn.Module):
                warnings.warn(
                    f"Attribute {key!r} is an instance of `nn.Module` and is already saved during checkpointing. Leave "
                    f"it out: `self.save_hyperparameters(ignore=[{key!r}])`.",
                    stacklevel=2,
                )
        self._hparams_name = name
        self._keep(_to_hparams(hparams))
        self.remove_ignored_hparams(list(skipped))
        self._hparams_initial = copy.deepcopy(self._hparams)
        self._log_hyperparams = logger

    def _keep(self, hparams: MutableMapping[str, Any]) -> None:
        """Add to what an earlier call kept: a base class's ``__init__`` may have made one."""
        if isinstance(self.hparams, dict) and isinstance(hparams, dict):
            self.hparams.update(hparams)
        else:
            self._hparams: MutableMapping[str, Any] = hparams

    @property
    def hparams(self) -> Any:
        """The arguments kept by :meth:`save_hyperparameters`, as attributes and keys; change them if you wish."""
        if "_hparams" not in self.__dict__:
            self._hparams = AttributeDict()
        return self._hparams

    @property
    def hparams_initial(self) -> Any:
        """The arguments as they were when they were kept; a copy."""
        if "_hparams_initial" not in self.__dict__:
            return AttributeDict()
        return copy.deepcopy(self._hparams_initial)

    def remove_ignored_hparams(self, ignore_list: list[str]) -> None:
        """Drop these names from :attr:`hparams` and :attr:`hparams_initial`."""
        for held in (self.hparams, self.__dict__.get("_hparams_initial", {})):
            for name in ignore_list:
                held.pop(name, None)


def _to_hparams(hparams: Any) -> MutableMapping[str, Any]:
    if isinstance(hparams, Namespace):
        hparams = vars(hparams)
    if isinstance(hparams, Mapping):
        # A container with types of its own, such as OmegaConf's, is kept as it is.
        return AttributeDict(hparams) if isinstance(hparams, dict) else hparams  # type: ignore[return-value]
    raise InvalidTypeError(
        "Unsupported config type for hyper-parameters", value=type(hparams), valid="a dict, a mapping or a Namespace"
    )


def _init_arguments(instance: Any, frame: FrameType | None) -> dict[str, Any]:
    """Arguments of all ``__init__`` frames of ``instance`` from the innermost outwards; a subclass's value wins."""
    frames = []
    while frame is not None and _is_init_of(frame, instance):
        frames.append(frame)
        frame = frame.f_back
    if not frames:
        raise InvalidStateError(
            "save_hyperparameters() can't see the arguments of __init__", advice="Call it inside __init__."
        )
    collected: dict[str, Any] = {}
    for one in frames:
        collected.update(_frame_arguments(one))
    return collected


def _is_init_of(frame: FrameType, instance: Any) -> bool:
    code = frame.f_code
    if code.co_name == "__init__":
        return bool(code.co_argcount) and frame.f_locals.get(code.co_varnames[0]) is instance
    # A dataclass keeps its arguments in an __init__ and calls this from __post_init__.
    return code.co_name == "__post_init__" and frame.f_locals.get(code.co_varnames[0]) is instance


def _frame_arguments(frame: FrameType) -> dict[str, Any]:
    values = inspect.getargvalues(frame)
    names = [*values.args[1:]]
    # Keyword-only arguments follow the positional ones among the code's variables.
    code = frame.f_code
    names += code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    arguments = {name: values.locals[name] for name in names if name in values.locals}
    if values.keywords:
        arguments.update(values.locals.get(values.keywords, {}))
    return arguments
