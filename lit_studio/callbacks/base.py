"""The face of a callback: every hook a run calls, each doing nothing, and the state that goes into a checkpoint.

It must not know the loop: a callback is handed the trainer and the module and steers through their public names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer


class EndOfCall(Exception):
    """Raised by a callback in a hook: what the call was for is done, so it ends here as if it were complete."""


class Callback:
    """Subclass it, override the hooks that are wanted, and pass an instance to ``Trainer(callbacks=…)``.

    A hook that isn't overridden costs nothing: the loop resolves the overridden ones once per run. Every hook gets
    the ``trainer`` and the module (``pl_module``) first. In each pair the callbacks run before the module's own hook.
    """

    @property
    def state_key(self) -> str:
        """The name under which :meth:`state_dict` is stored in a checkpoint; unique among a run's callbacks.

        Two instances of one class that both keep state need different keys; see :meth:`_generate_state_key`.
        """
        return type(self).__qualname__

    def _is_idle_in(self, hook: str) -> bool:
        """Whether ``hook`` would do nothing in all of this call, so that it need not be called; asked once."""
        return False

    def _generate_state_key(self, **kwargs: Any) -> str:
        """A key made of the class's name and the arguments that tell instances apart."""
        return f"{type(self).__qualname__}{kwargs!r}"

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint should keep of this callback; plain types and tensors only."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` returned; called after ``setup`` and before ``on_fit_start``."""

    # Begin and end ----------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """``fit``, ``validate``, ``test`` or ``predict`` (the ``stage``) begins."""

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The stage has ended without an error."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The optimizers exist, nothing has run yet."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After ``on_train_end``."""

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before the few validation batches that are tried at the start of a fit."""

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the sanity check."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The run is ending through ``exception`` (``KeyboardInterrupt`` included)."""

    # Training ---------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the sanity check, before the first epoch."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After the last epoch."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training epoch begins."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training epoch has ended, its validation too; epoch means are in ``trainer.callback_metrics``."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """A batch is on the device, its training step has not begun."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A training step is complete; ``outputs`` is what ``training_step`` returned, as a mapping with ``loss``."""

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor) -> None:
        """Right before ``loss.backward()``."""

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Right after ``loss.backward()``; gradients may still be scaled or unreduced."""

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Gradients are complete and unscaled, before clipping and ``optimizer.step``."""

    def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Before ``optimizer.zero_grad``."""

    # Validation, test, predict ----------------------------------------------------------------------------------

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validation begins."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validation has ended and its metrics are logged."""

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A pass over the validation data begins."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A pass over the validation data has ended."""

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Before a validation step."""

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """After a validation step."""

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Testing begins."""

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Testing has ended."""

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A pass over the test data begins."""

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A pass over the test data has ended."""

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Before a test step."""

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """After a test step."""

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prediction begins."""

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prediction has ended."""

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A pass over the data to predict begins."""

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A pass over the data to predict has ended."""

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Before a predict step."""

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """After a predict step."""

    # Checkpoints ------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """``checkpoint`` is complete and about to be written; change it in place."""

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """``checkpoint`` was read, and the module's weights are not restored yet."""


def validates_once_an_epoch(trainer: Trainer) -> bool:
    """Whether each training epoch ends with its one validation, so that the metrics of both are there at its end."""
    interval = trainer.val_check_interval  # 1.0 is the whole epoch, 1 is one batch
    return isinstance(interval, float) and interval == 1.0 and trainer.check_val_every_n_epoch == 1


class Checkpoint(Callback):
    """Base of the callbacks that write checkpoints; they run after all other callbacks."""
