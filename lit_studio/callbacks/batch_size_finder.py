"""The callback that looks for the largest batch size before a pass begins.

It must not know how: :mod:`lit_studio.callbacks.batch_size_trials` does that.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from lit_studio.base.errors import InvalidValueError, MisconfigurationException
from lit_studio.callbacks.attributes import lightning_hasattr
from lit_studio.callbacks.base import Callback, EndOfCall
from lit_studio.callbacks.batch_size_trials import Search, find_batch_size

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

_WORDS = {"fit": "train", "validate": "val", "test": "test", "predict": "predict"}


class BatchSizeFinder(Callback):
    """Finds the largest batch size whose steps fit into memory, and goes on with it.

    Works in a fit, a validation, a test and a prediction. The loaders must come from a hook of the module or of the
    datamodule that reads the attribute ``batch_arg_name``. Apart from the size, the call begins as if nothing had been
    tried. To look at other moments too, override :meth:`on_fit_start` and call :meth:`scale_batch_size`.

    Args:
        mode: ``"power"`` doubles until memory is exhausted; ``"binsearch"`` then halves the gap.
        steps_per_trial: steps of each trial.
        init_val: the first size.
        max_trials: trials at most.
        batch_arg_name: the attribute, looked for on the module, its hparams, the datamodule and its hparams.
        margin: the share (0 to 1, 1 excluded) that is taken off what ``"binsearch"`` finds.
        max_val: no larger size is tried.

    Attributes:
        optimal_batch_size: the size that was found; ``init_val`` before the search, None under ``fast_dev_run``.
        ends_call: whether the call ends after the search.

    Raises:
        InvalidValueError: another ``mode``, or a number out of range.
        MisconfigurationException: (at the start) no such attribute, loaders that don't come from a hook, several ranks.
    """

    SUPPORTED_MODES = ("power", "binsearch")

    def __init__(
        self,
        mode: str = "power",
        steps_per_trial: int = 3,
        init_val: int = 2,
        max_trials: int = 25,
        batch_arg_name: str = "batch_size",
        margin: float = 0.05,
        max_val: int = 8192,
    ):
        mode = mode.lower()
        if mode not in self.SUPPORTED_MODES:
            raise InvalidValueError(
                f"`mode` should be either of {self.SUPPORTED_MODES}", value=mode, valid="'power' or 'binsearch'"
            )
        if not 0 <= margin < 1:
            raise InvalidValueError("`margin` should be between 0 and 1", value=margin, valid="0 ≤ margin < 1")
        numbers = {
            "steps_per_trial": steps_per_trial,
            "init_val": init_val,
            "max_trials": max_trials,
            "max_val": max_val,
        }
        for name, number in numbers.items():
            if number < 1:
                raise InvalidValueError(f"`{name}` is too small", value=number, valid="≥ 1")
        self._search = Search(mode, steps_per_trial, init_val, max_trials, margin, max_val)
        self._batch_arg_name = batch_arg_name
        self.ends_call = False
        self.optimal_batch_size: int | None = init_val

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what can't work."""
        name = self._batch_arg_name
        if trainer.world_size > 1:
            raise MisconfigurationException("The Batch size finder is not supported with distributed strategies")
        if not trainer.source.from_hook(_WORDS[stage]):
            raise MisconfigurationException(
                f"The Batch size finder cannot be used with dataloaders passed directly to `.{stage}()`",
                advice="Remove it, or let a hook of your LightningModule or LightningDataModule make the loaders, with "
                f"`batch_size=self.{name}`.",
            )
        if not lightning_hasattr(pl_module, name):
            raise MisconfigurationException(
                f"Field {name} not found in `model`, `datamodule`, nor their `hparams` attributes",
                advice="Set it where the loaders are made, or name another one: `batch_arg_name=...`.",
            )
        if hasattr(pl_module, name) and name in pl_module.hparams:
            warnings.warn(
                f"Field `model.{name}` and `model.hparams.{name}` are mutually exclusive! Both are set to each size "
                "that is tried. If this is not the intended behavior, please remove either one.",
                stacklevel=2,
            )

    def scale_batch_size(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look now; the result is :attr:`optimal_batch_size`.

        Raises:
            MisconfigurationException: several loaders outside a fit.
            RuntimeError: memory is exhausted with a batch of 1 too.
        """
        if trainer.state.fn != "fit" and len(trainer.evaluation_now.counts) > 1:
            assert trainer.state.stage is not None
            raise MisconfigurationException(
                "The Batch size finder cannot be used with multiple "
                f"{trainer.state.stage.dataloader_prefix} dataloaders"
            )
        self.optimal_batch_size = find_batch_size(trainer, pl_module, self._search, self._batch_arg_name)
        if self.ends_call:
            raise EndOfCall

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before training."""
        self.scale_batch_size(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before a validation that is no part of a fit."""
        if trainer.state.fn == "validate":
            self.scale_batch_size(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before a test."""
        self.scale_batch_size(trainer, pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before a prediction."""
        self.scale_batch_size(trainer, pl_module)
