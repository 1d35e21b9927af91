"""The callbacks that keep an average of the weights, validate with it and leave it in the model at the end.

It must not know the optimizer: the model's own weights go on training untouched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import get_ema_avg_fn

from lit_studio.base.errors import InvalidTypeError
from lit_studio.callbacks.base import Callback

if TYPE_CHECKING:
    from collections.abc import Callable

    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer


class WeightAveraging(Callback):
    """Averages the weights over the training; see :class:`EMAWeightAveraging` for the usual moving average.

    Validation inside a fit runs with the average, and at the end of training the model holds it. In a checkpoint
    ``state_dict`` is the average, so that whoever loads the file gets the better model; the weights that were being
    trained lie under ``current_model_state`` and come back when the fit is resumed.

    Args:
        device: where the average is kept; None keeps it beside the model.
        use_buffers: whether buffers (such as BatchNorm's) are averaged too; else they are the model's own.
        kwargs: ``avg_fn(average, current, num_averaged)`` returns the new average of one tensor; by default the
            arithmetic mean. ``multi_avg_fn(averages, currents, num_averaged)`` changes whole lists in place instead.

    Raises:
        InvalidTypeError: another keyword.
    """

    def __init__(self, device: torch.device | str | int | None = None, use_buffers: bool = True, **kwargs: Any):
        unknown = set(kwargs) - {"avg_fn", "multi_avg_fn"}
        if unknown:
            raise InvalidTypeError("Unknown arguments", value=sorted(unknown), valid="avg_fn or multi_avg_fn")
        self._device = device
        self._use_buffers = use_buffers
        self._avg_fn: Callable[..., Any] | None = kwargs.get("avg_fn")
        self._multi_avg_fn: Callable[..., Any] | None = kwargs.get("multi_avg_fn")
        self._average: dict[str, torch.Tensor] = {}
        self._count = 0
        self._last_step = 0
        self._swapped = False

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether to update the average now; override it to update at other times.

        Args:
            step_idx: the number of the optimizer step that has ended, from 0; None at the end of an epoch.
            epoch_idx: the number of the epoch that has ended, from 0; None after a step.
        """
        return step_idx is not None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget an earlier fit."""
        if stage == "fit":
            self._average, self._count, self._last_step, self._swapped = {}, 0, 0, False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with the model's own weights, unless a checkpoint has brought an average."""
        if not self._average:
            self._average = {name: self._own(tensor) for name, tensor in self._tensors(pl_module)}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update after an optimizer step."""
        step = trainer.global_step - 1
        if trainer.global_step != self._last_step and self.should_update(step_idx=step):
            self._update(pl_module)
            self._last_step = trainer.global_step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Update after an epoch."""
        if self.should_update(epoch_idx=trainer.current_epoch):
            self._update(pl_module)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Validate with the average."""
        if self._average and trainer.state.fn == "fit":
            self._swap(pl_module)
            self._swapped = True

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Train on with the model's own weights."""
        if self._swapped:
            self._swapped = False
            self._swap(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the average in the model."""
        self._write(pl_module, self._average)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """An error inside validation must not leave the wrong weights in the model."""
        self.on_validation_epoch_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The step of the latest update."""
        return {"latest_update_step": self._last_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        self._last_step = state_dict["latest_update_step"]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the average in the first place and the trained weights beside it."""
        if not self._average or trainer.state.fn != "fit":
            return
        current = checkpoint["state_dict"]
        # While the two are swapped the model holds the average; either way none may be lost.
        other = {**current, **self._by_all_names(pl_module)}
        average, trained = (current, other) if self._swapped else (other, current)
        checkpoint["state_dict"] = {name: tensor.detach().clone() for name, tensor in average.items()}
        checkpoint["current_model_state"] = trained
        checkpoint["averaging_state"] = {"n_averaged": torch.tensor(self._count)}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Resume with both; validate, test and predict use the average."""
        if "current_model_state" not in checkpoint or trainer.state.fn != "fit":
            return
        names = {name for name, _ in self._tensors(pl_module)}
        average = {name: tensor for name, tensor in checkpoint["state_dict"].items() if name in names}
        self._average = {name: self._own(tensor, pl_module.device) for name, tensor in average.items()}
        self._count = int(checkpoint["averaging_state"]["n_averaged"])
        pl_module.load_state_dict(checkpoint["current_model_state"])  # until here it has the average

    def _tensors(self, pl_module: LightningModule) -> list[tuple[str, torch.Tensor]]:
        parameters: list[tuple[str, torch.Tensor]] = list(pl_module.named_parameters())
        if not self._use_buffers:
            return parameters
        kept = pl_module.state_dict()  # buffers that aren't saved are scratch
        return [*parameters, *((name, buffer) for name, buffer in pl_module.named_buffers() if name in kept)]

    def _by_all_names(self, pl_module: LightningModule) -> dict[str, torch.Tensor]:
        """The average under every name of a weight: a tied one is saved under several."""
        first = {id(tensor): name for name, tensor in self._tensors(pl_module)}
        tied = {n: self._average[first[id(p)]] for n, p in pl_module.named_parameters(remove_duplicate=False)}
        return {**self._average, **tied}

    def _own(self, tensor: torch.Tensor, device: torch.device | None = None) -> torch.Tensor:
        target = self._device if self._device is not None else device or tensor.device
        return tensor.detach().to(target, copy=True)

    @torch.no_grad()
    def _update(self, pl_module: LightningModule) -> None:
        pairs = [(self._average[name], tensor.detach()) for name, tensor in self._tensors(pl_module)]
        if self._count == 0:
            for average, current in pairs:
                average.copy_(current)
        else:
            self._blend([(average, current.to(average.device)) for average, current in pairs])
        self._count += 1

    def _blend(self, pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        floats = [(average, current) for average, current in pairs if average.is_floating_point()]
        for average, current in pairs:
            if not average.is_floating_point():  # counters such as BatchNorm's can't be averaged
                average.copy_(current)
        if self._multi_avg_fn is not None:
            self._multi_avg_fn([average for average, _ in floats], [current for _, current in floats], self._count)
            return
        for average, current in floats:
            if self._avg_fn is None:
                average.lerp_(current, 1 / (self._count + 1))
            else:
                average.copy_(self._avg_fn(average, current, torch.tensor(self._count, device=average.device)))

    @torch.no_grad()
    def _swap(self, pl_module: LightningModule) -> None:
        for name, tensor in self._tensors(pl_module):
            average = self._average[name]
            held = tensor.detach().to(average.device, copy=True)
            tensor.copy_(average)
            average.copy_(held)

    @torch.no_grad()
    def _write(self, pl_module: LightningModule, values: dict[str, torch.Tensor]) -> None:
        for name, tensor in self._tensors(pl_module):
            tensor.copy_(values[name])


class EMAWeightAveraging(WeightAveraging):
    """Keeps an exponential moving average: ``average ← decay · average + (1 − decay) · weights``.

    Args:
        device: where the average is kept; None keeps it beside the model.
        use_buffers: whether buffers are averaged too.
        decay: how much of the average stays at each update.
        update_every_n_steps: optimizer steps between two updates.
        update_starting_at_step: the first step (from 0) after which to update; None: from the beginning.
        update_starting_at_epoch: the first epoch (from 0) at whose end to update too; None: never at an epoch's end.
        kwargs: as for :class:`WeightAveraging`.
    """

    def __init__(
        self,
        device: torch.device | str | int | None = None,
        use_buffers: bool = True,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int | None = None,
        update_starting_at_epoch: int | None = None,
        **kwargs: Any,
    ):
        average = get_ema_avg_fn(decay)  # type: ignore[no-untyped-call]
        super().__init__(device=device, use_buffers=use_buffers, **{"avg_fn": average, **kwargs})
        self.update_every_n_steps = update_every_n_steps
        self.update_starting_at_step = update_starting_at_step
        self.update_starting_at_epoch = update_starting_at_epoch

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After every so many steps, from the first step or epoch that was asked for."""
        if step_idx is not None:
            begun = self.update_starting_at_step is None or step_idx >= self.update_starting_at_step
            return begun and step_idx % self.update_every_n_steps == 0
        begun = self.update_starting_at_epoch is not None and epoch_idx is not None
        return begun and epoch_idx >= self.update_starting_at_epoch  # type: ignore[operator]
