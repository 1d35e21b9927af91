"""The part of Fabric that tells what happens: values to the run and to loggers, moments to callbacks.

It must not know models, optimizers or loaders.
"""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from lit_studio.base.errors import InvalidStateError, InvalidTypeError
from lit_studio.fabric.ranks import FabricRanks
from lit_studio.trainer.seed import seed_everything


class FabricWatching(FabricRanks):
    """Logs, calls callbacks, and knows when the run is over."""

    _callbacks: list[Any]

    @property
    def loggers(self) -> list[Any]:
        """All loggers."""
        return self._run.loggers

    @property
    def logger(self) -> Any:
        """The first logger.

        Raises:
            InvalidStateError: there is none.
        """
        if not self.loggers:
            raise InvalidStateError("This Fabric has no logger", advice="Pass one: Fabric(loggers=CSVLogger('.')).")
        return self.loggers[0]

    def log(self, name: str, value: Any, step: int | None = None) -> None:
        """Record ``value`` under ``name``; it is read from the device later, several times a second.

        Args:
            name: the key; ``a/b`` groups.
            value: a tensor of one element, or a number.
            step: where on the x axis; by default the optimizer steps done so far, and where no optimizer of this
                Fabric has stepped, how often the name was logged before.

        Raises:
            InvalidValueError: ``value`` is neither.
        """
        run = self._run
        step = run.keep(name, value, step)
        if run.loggers or not run.live or time.monotonic() >= run.due:
            run.told((name,), step)

    def log_dict(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """:meth:`log` for several values of one moment."""
        for name, value in metrics.items():
            step = self._run.keep(name, value, step)
        if step is not None and metrics:
            self._run.told(metrics, step)

    @property
    def should_stop(self) -> bool:
        """Whether a person has pressed Stop; look at it where your loop can end: ``if fabric.should_stop: break``."""
        return self._run.should_stop

    @should_stop.setter
    def should_stop(self, value: bool) -> None:
        self._run.should_stop = value

    def finish(self) -> None:
        """The run is over: everything is written, and the view becomes a picture. Logging again goes on with it."""
        self._run.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run.finish(error)

    def call(self, hook_name: str, *args: Any, **kwargs: Any) -> None:
        """Call the method of this name of every callback that has one.

        Args:
            hook_name: any name.
            args: passed on.
            kwargs: passed on as far as the method takes them.
        """
        for callback in self._callbacks:
            method = getattr(callback, hook_name, None)
            if callable(method):
                method(*args, **_accepted(method, kwargs))
            elif method is not None:
                words = f"{type(callback).__name__}.{hook_name}"
                warnings.warn(f"Skipping the callback `{words}` because it is not callable.", stacklevel=2)

    @staticmethod
    def seed_everything(seed: int | None = None, workers: bool | None = None, verbose: bool = True) -> int:
        """Seed ``random``, NumPy and torch, and unless ``workers`` is False the loaders' workers; returns the seed."""
        return seed_everything(seed, workers is None or workers, verbose)


def listed(given: Any) -> list[Any]:
    """One thing, several or None as a list."""
    return [] if given is None else list(given) if isinstance(given, list | tuple) else [given]


def listed_loggers(given: Any) -> list[Any]:
    """``given`` as a list of loggers.

    Raises:
        InvalidTypeError: something that is no logger.
    """
    for logger in listed(given):
        if not callable(getattr(logger, "log_metrics", None)):
            raise InvalidTypeError("This is no logger", value=logger, valid="a Logger or a list of them")
    return listed(given)


def _accepted(method: Callable[..., Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those of ``kwargs`` that ``method`` takes."""
    try:
        parameters = inspect.signature(method).parameters
    except (TypeError, ValueError):  # written in C
        return kwargs
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return kwargs
    return {key: value for key, value in kwargs.items() if key in parameters}
