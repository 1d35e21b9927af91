"""``Tuner``: finds a learning rate or a batch size before training begins.

It must not know how either is found: the finders, which are callbacks, do that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from lit_studio.base.errors import InvalidValueError, MisconfigurationException
from lit_studio.callbacks.base import Checkpoint
from lit_studio.callbacks.batch_size_finder import BatchSizeFinder
from lit_studio.callbacks.lr_finder import LearningRateFinder
from lit_studio.callbacks.lr_range_test import RangeTest
from lit_studio.loggers import DummyLogger
from lit_studio.trainer.rehearsal import Unseen

if TYPE_CHECKING:
    from lit_studio.trainer.datamodule import LightningDataModule
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

METHODS = ("fit", "validate", "test", "predict")
Method = Literal["fit", "validate", "test", "predict"]


class Tuner:
    """Tries learning rates or batch sizes on a Trainer that is about to train.

    Neither leaves a trace but the attribute that it sets: weights, optimizers, random numbers, counters, callbacks and
    loggers are as before, and no record of a run is made.

    Args:
        trainer: set up as for the training to come.
    """

    def __init__(self, trainer: Trainer):
        self._trainer = trainer

    def scale_batch_size(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        method: Method = "fit",
        mode: str = "power",
        steps_per_trial: int = 3,
        init_val: int = 2,
        max_trials: int = 25,
        batch_arg_name: str = "batch_size",
        margin: float = 0.05,
        max_val: int = 8192,
    ) -> int | None:
        """The largest batch size whose steps fit into memory; it is set on the module or datamodule too.

        The loaders must come from a hook that reads the attribute ``batch_arg_name``, because each trial asks for new
        ones.

        Args:
            model: the module.
            train_dataloaders: a datamodule, if any: loaders that are given can't change their batch size.
            val_dataloaders: None, for the same reason.
            dataloaders: None, or a datamodule for the other methods.
            datamodule: whose hooks make the loaders, instead of the module's.
            method: whose steps are tried: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``.
            mode: ``"power"`` doubles until memory is exhausted; ``"binsearch"`` then halves the gap.
            steps_per_trial: steps of each trial.
            init_val: the size of the first.
            max_trials: trials at most.
            batch_arg_name: the attribute, looked for on ``model``, ``model.hparams``, the datamodule and its hparams.
            margin: the share (0 to 1, 1 excluded) that is taken off what ``"binsearch"`` finds.
            max_val: no larger size is tried.

        Returns:
            The size; None under ``fast_dev_run``.

        Raises:
            InvalidValueError: an argument, or the Trainer has a BatchSizeFinder already.
            MisconfigurationException: no such attribute, or loaders that don't come from a hook.
            RuntimeError: memory is exhausted with a batch of 1 too.
        """
        self._check(train_dataloaders, val_dataloaders, dataloaders, method, BatchSizeFinder)
        finder = BatchSizeFinder(mode, steps_per_trial, init_val, max_trials, batch_arg_name, margin, max_val)
        with self._apart(finder, model):
            if method == "fit":
                self._trainer.fit(model, train_dataloaders, val_dataloaders, datamodule)
            else:
                getattr(self._trainer, method)(model, dataloaders, datamodule=datamodule)
        return finder.optimal_batch_size

    def lr_find(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        method: Method = "fit",
        min_lr: float = 1e-8,
        max_lr: float = 1,
        num_training: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
    ) -> RangeTest | None:
        """Train a few steps at rising learning rates, and suggest the one at which the loss falls fastest.

        Args:
            model: the module; with one optimizer.
            train_dataloaders: as for ``Trainer.fit``.
            val_dataloaders: as for ``Trainer.fit``.
            dataloaders: None.
            datamodule: instead of loaders.
            method: ``"fit"``.
            min_lr: the first rate.
            max_lr: the last rate.
            num_training: steps, each at a rate of its own.
            mode: ``"exponential"`` or ``"linear"``, how rates rise.
            early_stop_threshold: end once the smoothed loss is so many times the lowest; None never does.
            update_attr: whether to set the module's rate to the suggestion.
            attr_name: its name; ``lr`` or ``learning_rate`` is found by itself.

        Returns:
            The losses, which can be plotted and asked for a suggestion; None under ``fast_dev_run``.

        Raises:
            InvalidValueError: an argument, or the Trainer has a LearningRateFinder already.
            MissingAttributeError: the module has no such attribute, and ``update_attr`` is set.
            MisconfigurationException: another ``method``, or not exactly one optimizer.
        """
        if method != "fit":
            raise MisconfigurationException(
                "method='fit' is the only valid configuration to run lr finder", value=method
            )
        self._check(train_dataloaders, val_dataloaders, dataloaders, method, LearningRateFinder)
        finder = LearningRateFinder(min_lr, max_lr, num_training, mode, early_stop_threshold, update_attr, attr_name)
        with self._apart(finder, model):
            self._trainer.fit(model, train_dataloaders, val_dataloaders, datamodule)
        return finder.optimal_lr

    def _check(self, train: Any, val: Any, loaders: Any, method: str, kind: type) -> None:
        if method not in METHODS:
            raise InvalidValueError(f"method {method!r} is invalid", value=method, valid=f"one of {METHODS}")
        if method == "fit" and loaders is not None:
            raise MisconfigurationException(
                "In tuner with method='fit', the `dataloaders` argument should be None",
                advice="Pass `train_dataloaders` and `val_dataloaders` instead.",
            )
        if method != "fit" and (train is not None or val is not None):
            raise MisconfigurationException(
                f"In tuner with method={method!r}, `train_dataloaders` and `val_dataloaders` should be None",
                advice="Pass `dataloaders` instead.",
            )
        if any(isinstance(one, kind) for one in self._trainer.callbacks):
            raise InvalidValueError(
                f"Trainer is already configured with a `{kind.__name__}` callback",
                advice="Please remove it if you want to use the Tuner.",
            )

    @contextmanager
    def _apart(self, finder: Any, model: LightningModule) -> Iterator[None]:
        """Inside, a call of the Trainer ends when ``finder`` is done, and nobody watches it."""
        trainer = self._trainer
        callbacks, loggers, observation = trainer.callbacks, trainer.loggers, trainer.observation
        modes = [(part, part.training) for part in model.modules()]
        finder.ends_call = True
        # One that writes checkpoints would settle its folder now, and by loggers that are not there.
        trainer.callbacks = [finder, *(one for one in callbacks if not isinstance(one, Checkpoint))]
        trainer.loggers = [DummyLogger()] if loggers else []
        trainer.observation = Unseen(trainer)
        try:
            yield
        finally:
            trainer.callbacks, trainer.loggers, trainer.observation = callbacks, loggers, observation
            for part, training in modes:
                part.training = training
