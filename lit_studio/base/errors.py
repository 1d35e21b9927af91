"""The errors that Lit Studio raises, one tree, each a value with advice.

This module must not know who raises them. The tree::

    StudioError
    ├── MisconfigurationException    arguments, hooks or callbacks that contradict one another
    ├── InvalidValueError            one value outside what is valid            (also ValueError)
    ├── InvalidTypeError             one object of the wrong type               (also TypeError)
    ├── InvalidStateError            a call at a time when it can't work        (also RuntimeError)
    ├── RemovedError                 a hook of earlier versions of Lightning    (also NotImplementedError)
    ├── MissingAttributeError        an object lacks an attribute               (also AttributeError)
    ├── MissingDependencyError       an optional package; names the extra       (also ImportError)
    ├── MissingBuildError            the browser side of a checkout that was never built
    ├── RunError
    │   ├── RunNotFoundError         no run of this id or at this place         (also LookupError)
    │   └── RunRecordError           a run's record exists but can't be read
    ├── RankError                    a rank of a distributed run failed or died; names it
    ├── LoggerError                  a logger could not deliver what it was given
    ├── CheckpointError
    │   ├── CheckpointNotFoundError  no such file                               (also FileNotFoundError)
    │   └── CheckpointCorruptError   cut off, flipped bits, or not a checkpoint
    ├── NotebookError                a notebook that can't be read or a cell of it that failed
    ├── KernelError                  a kernel that can't be started, reached or asked
    │   └── KernelNotFoundError      no kernel of this id or name               (also LookupError)
    └── PathNotFoundError            a file or folder that was named            (also FileNotFoundError)

``MisconfigurationException`` keeps the name that code written for Lightning catches. The ones marked
"also" can be caught by the built-in type too, so that ``except ValueError`` goes on working.
"""

from __future__ import annotations

from typing import Any

_UNSET: Any = object()


class StudioError(Exception):
    """Root of all errors of Lit Studio.

    Args:
        what: one sentence saying what is wrong; empty only where a program raises a bare class.
        value: the offending value, shown as ``got …`` (shortened to 200 characters); left out if not given.
        valid: what would be valid, shown as ``expected …``.
        advice: the next step for the reader, shown on a line of its own.
    """

    def __init__(self, what: str = "", *, value: Any = _UNSET, valid: str | None = None, advice: str | None = None):
        self.what, self.valid, self.advice = what, valid, advice
        self.value = None if value is _UNSET else value
        parts = [what.rstrip(".")] if what else []
        if value is not _UNSET:
            shown = repr(value)
            parts.append(f"got {shown if len(shown) <= 200 else shown[:199] + '…'}")
        if valid is not None:
            parts.append(f"expected {valid.rstrip('.')}")
        message = "; ".join(parts) + "." if parts else ""
        super().__init__(message if advice is None else f"{message}\n{advice}")

    def __reduce__(self) -> tuple[Any, ...]:
        # An error crosses processes (ranks, workers): as it is, its message not put together a second time.
        plain = isinstance(self.value, str | int | float | None)
        state = {**self.__dict__, "value": self.value if plain else repr(self.value)}
        return _again, (type(self), self.args, state)


def _again(cls: type[StudioError], args: tuple[Any, ...], state: dict[str, Any]) -> StudioError:
    error = cls.__new__(cls, *args)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


class MisconfigurationException(StudioError):
    """Arguments, hooks or callbacks that contradict one another, or a required one that is missing."""


class InvalidValueError(StudioError, ValueError):
    """One value that is outside what is valid."""


class InvalidTypeError(StudioError, TypeError):
    """One object of the wrong type."""


class InvalidStateError(StudioError, RuntimeError):
    """A call made at a time when it can't work."""


class MissingAttributeError(StudioError, AttributeError):
    """An object lacks an attribute that was asked for by name."""


class RemovedError(StudioError, NotImplementedError):
    """A hook or an argument that earlier versions of Lightning had, and that would do nothing now."""


class MissingDependencyError(StudioError, ImportError):
    """An optional package is not installed.

    Args:
        package: the distribution that is missing, for instance ``"tensorboard"``.
        extra: the extra of ``lit-studio`` that brings it.
        purpose: what it is needed for, a noun phrase.
    """

    def __init__(self, package: str, *, extra: str, purpose: str):
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed",
            advice=f"Install it with: pip install 'lit-studio[{extra}]'",
        )
        self.package, self.extra = package, extra


class MissingBuildError(StudioError):
    """A built file of the browser side is missing; only a source checkout can lack it."""


class RunError(StudioError):
    """Something about a run's directory or record."""


class RunNotFoundError(RunError, LookupError):
    """No run has this id, or none lies at this place."""


class RunRecordError(RunError):
    """A run's record exists but can't be read."""


class RankError(StudioError):
    """A rank of a distributed run failed or died."""


class LoggerError(StudioError):
    """A logger could not deliver what it was given; a run reports it and goes on."""


class CheckpointError(StudioError):
    """Something about a checkpoint file."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """The checkpoint file does not exist."""


class CheckpointCorruptError(CheckpointError):
    """The file is cut off, has flipped bits, or is no checkpoint."""


class NotebookError(StudioError):
    """A notebook can't be read, or one of its cells failed."""


class KernelError(StudioError):
    """A kernel can't be started, reached or asked."""


class KernelNotFoundError(KernelError, LookupError):
    """No kernel has this id, or none is known by this name."""


class PathNotFoundError(StudioError, FileNotFoundError):
    """A file or folder that was named does not exist."""
