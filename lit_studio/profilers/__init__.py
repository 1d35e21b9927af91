"""Profilers: what the actions of a run cost, in wall time, in Python calls, or in torch operators.

They must not know the loop: it tells them when an action starts and stops, and only if a profiler was asked for.
"""

from __future__ import annotations

from lit_studio.base.errors import InvalidTypeError, MisconfigurationException
from lit_studio.profilers.advanced import AdvancedProfiler
from lit_studio.profilers.base import PassThroughProfiler, Profiler
from lit_studio.profilers.pytorch import PyTorchProfiler
from lit_studio.profilers.simple import SimpleProfiler

__all__ = [
    "AdvancedProfiler",
    "PassThroughProfiler",
    "Profiler",
    "PyTorchProfiler",
    "SimpleProfiler",
    "resolve_profiler",
]

NAMES: dict[str, type[Profiler]] = {
    "simple": SimpleProfiler,
    "advanced": AdvancedProfiler,
    "pytorch": PyTorchProfiler,
}


def resolve_profiler(profiler: Profiler | str | None) -> Profiler | None:
    """The profiler that the Trainer's argument means; None where nothing is to be measured.

    Args:
        profiler: ``"simple"``, ``"advanced"``, ``"pytorch"``, a :class:`Profiler` or None.

    Raises:
        MisconfigurationException: an unknown name.
        InvalidTypeError: neither a name nor a profiler.
    """
    if isinstance(profiler, str):
        if profiler.lower() not in NAMES:
            raise MisconfigurationException(
                "When passing string value for the `profiler` parameter of `Trainer`, it can only be one of "
                f"{list(NAMES)}",
                value=profiler,
            )
        return NAMES[profiler.lower()]()
    if profiler is None or isinstance(profiler, PassThroughProfiler):
        return None
    if not isinstance(profiler, Profiler):
        raise InvalidTypeError("This is no profiler", value=profiler, valid=f"{', '.join(NAMES)} or a Profiler")
    return profiler
