"""The Trainer's arguments, checked, resolved and frozen before any work starts.

It must not know loops, callbacks or loggers: it holds numbers and switches.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from lit_studio.base.errors import InvalidTypeError, InvalidValueError, MisconfigurationException
from lit_studio.trainer.compiling import resolve_compile
from lit_studio.trainer.optimization import check_clipping

_log = logging.getLogger("lit_studio")
LIMITS = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches")
_UNITS = ("days", "hours", "minutes", "seconds")


@dataclass(frozen=True)
class Plan:
    """What a Trainer will do, as far as its arguments say; see :class:`~lit_studio.trainer.trainer.Trainer`.

    ``fast_dev_run`` is the number of batches, 0 if off. ``val_check_seconds`` is set where ``val_check_interval`` was a
    duration. ``max_time`` is a duration.
    """

    fast_dev_run: int
    max_epochs: int | None
    min_epochs: int
    max_steps: int
    min_steps: int | None
    max_time: timedelta | None
    limit_train_batches: int | float
    limit_val_batches: int | float
    limit_test_batches: int | float
    limit_predict_batches: int | float
    overfit_batches: int | float
    val_check_interval: int | float | None
    val_check_seconds: float | None
    check_val_every_n_epoch: int | None
    num_sanity_val_steps: int | float
    log_every_n_steps: int
    accumulate_grad_batches: int
    gradient_clip_val: float | None
    gradient_clip_algorithm: str | None
    deterministic: bool | str
    benchmark: bool | None
    inference_mode: bool
    use_distributed_sampler: bool
    detect_anomaly: bool
    barebones: bool
    sync_batchnorm: bool
    reload_dataloaders_every_n_epochs: int
    default_root_dir: str
    enable_autolog_hparams: bool
    compile: Mapping[str, Any] | None
    capture_step: bool


def make_plan(given: Mapping[str, Any]) -> Plan:
    """Check the Trainer's arguments and work out what they mean together.

    Args:
        given: all of them, by name.

    Raises:
        MisconfigurationException: a value out of range, or two that contradict each other.
        InvalidValueError, InvalidTypeError: a value of the wrong kind.
    """
    dry = _dry_run(given["fast_dev_run"])
    check_clipping(given["gradient_clip_val"], given["gradient_clip_algorithm"])
    if given["barebones"]:
        _check_barebones(given)
    overfit = _limit("overfit_batches", given["overfit_batches"])
    limits = {name: _limit(name, 1.0 if given[name] is None else given[name]) for name in LIMITS}
    for name in (*LIMITS, "overfit_batches"):
        _explain_one(name, given[name])
    if overfit > 0:
        limits.update(limit_train_batches=overfit, limit_val_batches=overfit)
    interval, seconds = _interval(given["val_check_interval"], given["check_val_every_n_epoch"])
    settings: dict[str, Any] = {
        "max_epochs": _epochs("max_epochs", given["max_epochs"]),
        "max_steps": _steps(given["max_steps"]),
        "num_sanity_val_steps": _sanity(given["num_sanity_val_steps"], given["barebones"]),
        "val_check_interval": interval,
        "val_check_seconds": seconds,
        "check_val_every_n_epoch": _every(given["check_val_every_n_epoch"]),
        **limits,
    }
    if dry:
        settings.update(max_epochs=1, max_steps=dry, num_sanity_val_steps=0, val_check_interval=1.0)
        settings.update(val_check_seconds=None, check_val_every_n_epoch=1, **dict.fromkeys(LIMITS, dry))
    return Plan(
        **settings,
        fast_dev_run=dry,
        min_epochs=_epochs("min_epochs", given["min_epochs"]) or int(given["min_steps"] is not None),
        min_steps=given["min_steps"],
        max_time=duration("max_time", given["max_time"]),
        overfit_batches=overfit,
        log_every_n_steps=_count("log_every_n_steps", _log_every(given), 0),
        accumulate_grad_batches=_count("accumulate_grad_batches", given["accumulate_grad_batches"], 1),
        gradient_clip_val=given["gradient_clip_val"],
        gradient_clip_algorithm=given["gradient_clip_algorithm"],
        deterministic=given["deterministic"] or False,
        benchmark=given["benchmark"],
        inference_mode=bool(given["inference_mode"]),
        use_distributed_sampler=bool(given["use_distributed_sampler"]),
        detect_anomaly=bool(given["detect_anomaly"]),
        barebones=bool(given["barebones"]),
        sync_batchnorm=bool(given["sync_batchnorm"]),
        reload_dataloaders_every_n_epochs=_count(
            "reload_dataloaders_every_n_epochs", given["reload_dataloaders_every_n_epochs"], 0
        ),
        default_root_dir=_root(given["default_root_dir"]),
        enable_autolog_hparams=bool(given["enable_autolog_hparams"]),
        compile=resolve_compile(given["compile"]),
        capture_step=bool(given["capture_step"]),
    )


def _dry_run(value: Any) -> int:
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, int) or value < 0:
        raise MisconfigurationException("fast_dev_run should be >= 0: a bool, or a number of batches", value=value)
    return value


def _limit(name: str, value: Any) -> int | float:
    """A number of batches or a share of them."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MisconfigurationException(f"You have passed invalid value for {name}", value=value, valid="a number")
    if isinstance(value, int) and value >= 0:
        return value
    if isinstance(value, float) and (0 <= value <= 1 or (value > 1 and value.is_integer())):
        return value if value <= 1 else int(value)
    raise MisconfigurationException(
        f"You have passed invalid value for {name}", value=value, valid="a float from 0.0 to 1.0 or an int ≥ 0"
    )


def _explain_one(name: str, value: Any) -> None:
    """1 and 1.0 are easily mistaken for each other."""
    if value is not None and not isinstance(value, bool) and value == 1:
        amount = "1 batch" if isinstance(value, int) else "100% of the batches"
        _log.info("`Trainer(%s=%r)` was configured so %s per epoch will be used.", name, value, amount)


def _log_every(given: Mapping[str, Any]) -> Any:
    value = given["log_every_n_steps"]
    return (0 if given["barebones"] else 50) if value is None else value


def _root(given: str | Path | None) -> str:
    path = os.fspath(given or Path.cwd())
    return path if "://" in path else os.path.expanduser(path)  # noqa: PTH111 - pathlib would change other parts too


def _interval(value: Any, every: Any) -> tuple[int | float | None, float | None]:
    """When to validate: batches or a share of the epoch, or seconds."""
    if value is not None and value == 1:
        where = "after every batch" if isinstance(value, int) else "at the end of the training epoch"
        _log.info("`Trainer(val_check_interval=%r)` was configured so validation will run %s.", value, where)
    value = 1.0 if value is None else value
    if isinstance(value, str | timedelta | Mapping):
        span = duration("val_check_interval", value)
        assert span is not None
        return None, span.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise MisconfigurationException(
            "You have passed invalid value for val_check_interval", value=value, valid="> 0"
        )
    if isinstance(value, float):
        if every is None and value != 1.0:
            raise MisconfigurationException(
                "`val_check_interval` should be an integer or a duration when `check_val_every_n_epoch=None`",
                value=value,
            )
        if value > 1.0:
            raise MisconfigurationException(
                "You have passed invalid value for val_check_interval",
                value=value,
                valid="a float from 0.0 to 1.0 or an int",
            )
    return value, None


def _every(value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise MisconfigurationException(
            "`check_val_every_n_epoch` should be an integer ≥ 1, or None to count batches across epochs", value=value
        )
    return value


def _count(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise MisconfigurationException(f"{name} should be an int >= {least}", value=value)
    return value


def _epochs(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < -1:
        raise MisconfigurationException(f"`{name}` must be a non-negative integer or -1", value=value)
    return value


def _steps(value: Any) -> int:
    value = -1 if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or value < -1:
        raise MisconfigurationException("`max_steps` must be a non-negative integer or -1", value=value)
    return value


def _sanity(value: Any, barebones: bool) -> int | float:
    if value is None:
        return 0 if barebones else 2
    if isinstance(value, bool) or not isinstance(value, int) or value < -1:
        raise MisconfigurationException("num_sanity_val_steps should be an int ≥ -1", value=value)
    return math.inf if value == -1 else value


def _check_barebones(given: Mapping[str, Any]) -> None:
    conflicting = [
        name
        for name in ("enable_checkpointing", "logger", "enable_progress_bar", "enable_model_summary", "profiler")
        if given[name] not in (None, False)
    ]
    conflicting += [
        name for name in ("log_every_n_steps", "num_sanity_val_steps", "fast_dev_run", "detect_anomaly") if given[name]
    ]
    if conflicting:
        given_too = ", ".join(f"{name}={given[name]!r}" for name in conflicting)
        raise InvalidValueError(
            f"`Trainer(barebones=True, {given_too})` was passed, but barebones switches off everything that costs time"
        )
    _log.info(
        "You are running in `Trainer(barebones=True)` mode: no checkpoints, loggers, progress, summary, sanity check "
        "or record, so that only the raw speed of the loop is left."
    )


def duration(name: str, value: Any) -> timedelta | None:
    """A length of time from ``"DD:HH:MM:SS"``, a dict of timedelta's arguments, or a timedelta.

    Args:
        name: the argument, for messages.
        value: as above; None gives None.

    Raises:
        MisconfigurationException: a string of another form.
        InvalidTypeError: another type.
    """
    if value is None or isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        parts = value.strip().split(":")
        if len(parts) != len(_UNITS) or not all(part.isdigit() for part in parts):
            raise MisconfigurationException(
                f"{name} can't be read: a time has the format DD:HH:MM:SS", value=value, valid="'00:12:00:00'"
            )
        return timedelta(**dict(zip(_UNITS, map(int, parts), strict=True)))
    if isinstance(value, Mapping):
        return timedelta(**value)
    raise InvalidTypeError(f"{name} has the wrong type", value=value, valid="a str, a dict or a timedelta")
