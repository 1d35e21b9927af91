"""The arguments of ModelCheckpoint, checked before any training starts.

It must not know when a checkpoint is saved or under which name.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from lit_studio.base.errors import InvalidTypeError, InvalidValueError, MisconfigurationException

if TYPE_CHECKING:
    from lit_studio.callbacks.model_checkpoint import ModelCheckpoint


def check_arguments(callback: ModelCheckpoint) -> None:
    """Refuse what makes no sense by itself or together.

    Raises:
        MisconfigurationException: a number out of range, an unknown ``mode`` or ``save_last``, several triggers, or
            several best ones without a ``monitor``.
        InvalidTypeError: ``train_time_interval`` is no timedelta.
        InvalidValueError: a link in a folder that is not on this machine.
    """
    if callback.save_top_k < -1:
        raise MisconfigurationException("Invalid value for save_top_k. Must be >= -1", value=callback.save_top_k)
    if callback.monitor is None and callback.save_top_k not in (-1, 0, 1):
        raise MisconfigurationException(
            f"ModelCheckpoint(save_top_k={callback.save_top_k}, monitor=None) is not a valid configuration: without a "
            "monitor no checkpoint is better than another",
            valid="−1 (all), 0 (none) or 1 (the newest)",
            advice="Name the metric that decides: ModelCheckpoint(monitor='val_loss', save_top_k=…).",
        )
    if callback.mode not in ("min", "max"):
        raise MisconfigurationException(f"`mode` can be min or max but got {callback.mode}")
    if callback.save_last not in (None, True, False, "link"):
        raise MisconfigurationException("Unknown save_last", value=callback.save_last, valid="True, False or 'link'")
    if callback.save_last == "link" and "://" in str(callback.dirpath):
        raise InvalidValueError(
            "`ModelCheckpoint(save_last='link')` is only supported for local file paths", value=callback.dirpath
        )
    _check_triggers(callback._every_n_train_steps, callback._every_n_epochs, callback._train_time_interval)


def _check_triggers(steps: int, epochs: int, interval: timedelta | None) -> None:
    for name, value in (("every_n_train_steps", steps), ("every_n_epochs", epochs)):
        if value < 0:
            raise MisconfigurationException(f"Invalid value for {name}. Must be >= 0", value=value)
    if interval is not None and not isinstance(interval, timedelta):
        raise InvalidTypeError("train_time_interval has the wrong type", value=interval, valid="a timedelta")
    if (steps >= 1) + (epochs >= 1) + (interval is not None) > 1:
        raise MisconfigurationException(
            "Combination of parameters every_n_train_steps, every_n_epochs and train_time_interval should be mutually "
            "exclusive",
            value=(steps, epochs, interval),
            advice="Use one ModelCheckpoint for each trigger.",
        )
