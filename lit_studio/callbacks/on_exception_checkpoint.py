"""The callback that saves a checkpoint when a run ends through an error.

It must not know what a checkpoint holds.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lit_studio.base.errors import InvalidValueError
from lit_studio.base.events import CheckpointSaved
from lit_studio.callbacks.base import Checkpoint

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer


class OnExceptionCheckpoint(Checkpoint):
    """Saves ``<dirpath>/<filename>.ckpt`` when a run fails or is interrupted; a later run without errors removes it.

    Args:
        dirpath: the folder.
        filename: the name without extension.

    Raises:
        InvalidValueError: ``filename`` is empty.
    """

    FILE_EXTENSION = ".ckpt"

    def __init__(self, dirpath: str | Path, filename: str = "on_exception"):
        if not filename:
            raise InvalidValueError("The file name is empty", value=filename, valid="for instance 'on_exception'")
        self.dirpath = dirpath
        self.filename = filename

    @property
    def ckpt_path(self) -> str:
        """The file."""
        return str(Path(self.dirpath) / f"{self.filename}{self.FILE_EXTENSION}")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save."""
        with saving_after(exception):
            trainer.save_checkpoint(self.ckpt_path)
            saved = CheckpointSaved(
                time.time(), trainer.global_step, trainer.current_epoch, self.ckpt_path, "exception"
            )
            trainer.emit(saved)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """There was no error: the file of an earlier one has done its work."""
        if trainer.is_global_zero:
            Path(self.ckpt_path).unlink(missing_ok=True)


@contextmanager
def saving_after(exception: BaseException) -> Iterator[None]:
    """Turn an error while saving into a warning, so that it doesn't hide the one that ended the run."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is, the run's own error matters more
        warnings.warn(f"No checkpoint was saved after {type(exception).__name__}: {error}", stacklevel=3)
