"""The callback that looks for a learning rate before training begins.

It must not know how: :mod:`lit_studio.callbacks.lr_range_test` does that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_studio.base.errors import InvalidValueError
from lit_studio.callbacks.base import Callback, EndOfCall
from lit_studio.callbacks.lr_range_test import RangeTest, find_learning_rate

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer


class LearningRateFinder(Callback):
    """Runs a learning-rate range test when a fit begins, and goes on with the rate that it suggests.

    Apart from the rate, the fit begins as if the test hadn't been made. To test at other moments too, override
    :meth:`on_fit_start` and call :meth:`lr_find`, for instance in ``on_train_epoch_start``.

    Args:
        min_lr, max_lr: the first and the last rate.
        num_training_steps: steps, each at a rate of its own.
        mode: ``"exponential"`` or ``"linear"``, how rates rise.
        early_stop_threshold: end once the smoothed loss is so many times the lowest; None never does.
        update_attr: whether to set the module's rate, and the optimizer's, to the suggestion.
        attr_name: the attribute's name; ``lr`` or ``learning_rate`` is found by itself.

    Attributes:
        optimal_lr: what the last test found, a :class:`~lit_studio.callbacks.lr_range_test.RangeTest`.
        ends_call: whether the call ends after the test.

    Raises:
        InvalidValueError: another ``mode``, no steps, or rates that do not rise from above 0.
    """

    SUPPORTED_MODES = ("linear", "exponential")

    def __init__(
        self,
        min_lr: float = 1e-8,
        max_lr: float = 1,
        num_training_steps: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
    ):
        mode = mode.lower()
        if mode not in self.SUPPORTED_MODES:
            raise InvalidValueError(
                f"`mode` should be either of {self.SUPPORTED_MODES}", value=mode, valid="'linear' or 'exponential'"
            )
        if not 0 < min_lr < max_lr:
            raise InvalidValueError(
                "The learning rates of the range test must rise", value=(min_lr, max_lr), valid="0 < min_lr < max_lr"
            )
        if num_training_steps < 1:
            raise InvalidValueError("A range test needs steps", value=num_training_steps, valid="≥ 1")
        self._min_lr, self._max_lr, self._num_training_steps, self._mode = min_lr, max_lr, num_training_steps, mode
        self._early_stop_threshold = early_stop_threshold
        self._update_attr, self._attr_name = update_attr, attr_name
        self.ends_call = False
        self.optimal_lr: RangeTest | None = None

    def lr_find(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Run the test now; the result is :attr:`optimal_lr`.

        Raises:
            MissingAttributeError, MisconfigurationException: see ``Tuner.lr_find``.
        """
        test = RangeTest(self._mode, self._min_lr, self._max_lr, self._num_training_steps)
        self.optimal_lr = find_learning_rate(
            trainer, pl_module, test, self._early_stop_threshold, self._update_attr, self._attr_name
        )
        if self.ends_call:
            raise EndOfCall

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Run the test."""
        self.lr_find(trainer, pl_module)
