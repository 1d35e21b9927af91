"""The hooks of a module and a datamodule, each doing nothing (or the usual), for users to override.

It must not know who calls them or when: the loop does, and it skips those that nobody overrides.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from lit_studio.base.errors import MisconfigurationException
from lit_studio.trainer.batches import move


class ModelHooks:
    """What happens while a module is trained or evaluated, in the order in which a fit goes."""

    def on_fit_start(self) -> None:
        """The optimizers exist, nothing has run yet."""

    def on_fit_end(self) -> None:
        """After ``on_train_end``."""

    def on_train_start(self) -> None:
        """After the sanity check, before the first epoch."""

    def on_train_end(self) -> None:
        """After the last epoch."""

    def on_train_epoch_start(self) -> None:
        """A training epoch begins."""

    def on_train_epoch_end(self) -> None:
        """A training epoch has ended, its validation too."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        """A batch is on the device; return −1 to skip the rest of the epoch."""

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A training step is complete; ``outputs`` is a mapping with ``loss``, or what a manual step returned."""

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        """Before ``optimizer.zero_grad``."""

    def on_before_backward(self, loss: Tensor) -> None:
        """Right before ``loss.backward()``; ``loss`` is divided by the micro-batches and scaled (fp16)."""

    def on_after_backward(self) -> None:
        """Right after ``loss.backward()``."""

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Gradients are complete and unscaled, before clipping and ``optimizer.step``."""

    def on_validation_start(self) -> None:
        """Validation begins."""

    def on_validation_end(self) -> None:
        """Validation has ended and its metrics are logged."""

    def on_validation_epoch_start(self) -> None:
        """A pass over the validation data begins."""

    def on_validation_epoch_end(self) -> None:
        """A pass over the validation data has ended."""

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Before a validation step."""

    def on_validation_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """After a validation step."""

    def on_validation_model_zero_grad(self) -> None:
        """Before validation inside a fit: free the gradients' memory."""
        self.zero_grad()  # type: ignore[attr-defined]

    def on_validation_model_eval(self) -> None:
        """Put the module into evaluation mode."""
        self.eval()  # type: ignore[attr-defined]

    def on_validation_model_train(self) -> None:
        """After validation; not called unless overridden, for then each submodule gets its own mode back."""
        self.train()  # type: ignore[attr-defined]

    def on_test_start(self) -> None:
        """Testing begins."""

    def on_test_end(self) -> None:
        """Testing has ended."""

    def on_test_epoch_start(self) -> None:
        """A pass over the test data begins."""

    def on_test_epoch_end(self) -> None:
        """A pass over the test data has ended."""

    def on_test_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Before a test step."""

    def on_test_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """After a test step."""

    def on_test_model_eval(self) -> None:
        """Put the module into evaluation mode."""
        self.eval()  # type: ignore[attr-defined]

    def on_test_model_train(self) -> None:
        """After a test; not called unless overridden, for then each submodule gets its own mode back."""
        self.train()  # type: ignore[attr-defined]

    def on_predict_start(self) -> None:
        """Prediction begins."""

    def on_predict_end(self) -> None:
        """Prediction has ended."""

    def on_predict_epoch_start(self) -> None:
        """A pass over the data to predict begins."""

    def on_predict_epoch_end(self) -> None:
        """A pass over the data to predict has ended."""

    def on_predict_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Before a predict step."""

    def on_predict_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """After a predict step."""

    def on_predict_model_eval(self) -> None:
        """Put the module into evaluation mode."""
        self.eval()  # type: ignore[attr-defined]

    def configure_model(self) -> None:
        """Make the layers that are too large to make twice; called before weights are restored."""


class DataHooks:
    """Where data comes from and how a batch reaches the device; for modules and datamodules.

    Attributes:
        prepare_data_per_node: whether one process of each node calls ``prepare_data`` (default), or only one of all.
    """

    prepare_data_per_node = True

    def prepare_data(self) -> None:
        """Download, unpack, tokenize; called in one process only, so don't set state here."""

    def setup(self, stage: str) -> None:
        """Make datasets; ``stage`` is ``fit``, ``validate``, ``test`` or ``predict``."""

    def teardown(self, stage: str) -> None:
        """Clean up after ``stage``."""

    def train_dataloader(self) -> Any:
        """The loader (or a collection of loaders) to train with."""
        raise _missing("train_dataloader")

    def val_dataloader(self) -> Any:
        """The loader (or a list of loaders) to validate with."""
        raise _missing("val_dataloader")

    def test_dataloader(self) -> Any:
        """The loader (or a list of loaders) to test with."""
        raise _missing("test_dataloader")

    def predict_dataloader(self) -> Any:
        """The loader (or a list of loaders) to predict with."""
        raise _missing("predict_dataloader")

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch before it moves to the device."""
        return batch

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Move a batch; override for a type of batch that can't be taken apart."""
        return move(batch, device)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch on the device, for instance augment it there."""
        return batch


class CheckpointHooks:
    """What a module or datamodule adds to a checkpoint."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """``checkpoint`` is complete and about to be written; change it in place."""

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """``checkpoint`` was read, and the weights are not restored yet."""


def _missing(name: str) -> MisconfigurationException:
    return MisconfigurationException(
        f"`{name}` must be implemented to be used with the Trainer", advice="Or pass a loader to the call itself."
    )
