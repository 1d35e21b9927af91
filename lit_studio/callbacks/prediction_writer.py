"""The callback base that writes predictions as they come.

It must not know a file format: a subclass writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from lit_studio.base.errors import MisconfigurationException
from lit_studio.callbacks.base import Callback

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer


class WriteInterval(Enum):
    """When :class:`BasePredictionWriter` writes."""

    BATCH = "batch"
    EPOCH = "epoch"
    BATCH_AND_EPOCH = "batch_and_epoch"

    @property
    def on_batch(self) -> bool:
        """Whether each batch is written."""
        return self is not WriteInterval.EPOCH

    @property
    def on_epoch(self) -> bool:
        """Whether all is written at the end."""
        return self is not WriteInterval.BATCH


class BasePredictionWriter(Callback):
    """Subclass it and override :meth:`write_on_batch_end`, :meth:`write_on_epoch_end`, or both.

    With ``trainer.predict(…, return_predictions=False)`` and ``"batch"``, predictions never pile up in memory.

    Args:
        write_interval: ``"batch"``, ``"epoch"`` or ``"batch_and_epoch"``.

    Raises:
        MisconfigurationException: another ``write_interval``.
    """

    def __init__(self, write_interval: Literal["batch", "epoch", "batch_and_epoch"] = "batch"):
        try:
            self.interval = WriteInterval(write_interval)
        except ValueError:
            raise MisconfigurationException(
                f"`write_interval` should be one of {[one.value for one in WriteInterval]}", value=write_interval
            ) from None

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write one batch.

        Args:
            trainer: the running trainer.
            pl_module: its module.
            prediction: what ``predict_step`` returned.
            batch_indices: the samples' places in the dataset; None for a dataset or loader without places.
            batch: the batch itself.
            batch_idx: its number.
            dataloader_idx: the loader's number.
        """
        raise NotImplementedError

    def write_on_epoch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        """Write everything.

        Args:
            trainer: the running trainer.
            pl_module: its module.
            predictions: one entry a batch; with several loaders a list of those for each.
            batch_indices: for each loader, for each batch, the samples' places in the dataset.
        """
        raise NotImplementedError

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the batch, if it is asked for."""
        if self.interval.on_batch:
            indices = trainer.predict_loop.current_batch_indices
            self.write_on_batch_end(trainer, pl_module, outputs, indices, batch, batch_idx, dataloader_idx)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write all, if it is asked for."""
        if self.interval.on_epoch:
            loop = trainer.predict_loop
            self.write_on_epoch_end(trainer, pl_module, loop.predictions, loop.epoch_batch_indices)
