"""The callback that ends a training when its loss jumps, and notes which batches to leave out next time.

It must not know what a person does with that list.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from lit_studio.base.errors import InvalidTypeError, InvalidValueError, StudioError
from lit_studio.base.files import draft_of
from lit_studio.callbacks.base import Callback

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

FILE = "skip_batches.json"


class TrainingSpikeException(StudioError, RuntimeError):
    """The loss has jumped.

    Args:
        batch_idx: the batch at which it did.
    """

    def __init__(self, batch_idx: int):
        super().__init__(
            f"Training spike detected in batch {batch_idx}",
            advice=f"This batch and the one before are noted in {FILE}: leave them out and go on from a checkpoint.",
        )
        self.batch_idx = batch_idx


class LossWatch:
    """Compares each loss with the mean of those before it; for any loop. See :class:`SpikeDetection`.

    Args:
        mode: ``"min"`` if a rising value is bad, ``"max"`` if a falling one is.
        window: how many values the mean is taken over.
        warmup: batches of an epoch that are not judged.
        atol: the least distance from the mean that counts; None for any.
        rtol: the same as a multiple of the mean; None for any.
        exclude_batches_path: the file, or its folder, for the list; None for the current directory.
        finite_only: whether NaN and infinity are spikes.

    Attributes:
        bad_batches: the batches to leave out.
        last_val: the last value that was no spike.

    Raises:
        InvalidValueError: another ``mode``, or a window without room.
    """

    def __init__(
        self,
        mode: Literal["min", "max"] = "min",
        window: int = 10,
        warmup: int = 1,
        atol: float | None = None,
        rtol: float | None = 2.0,
        exclude_batches_path: str | Path | None = None,
        finite_only: bool = True,
    ):
        if mode not in ("min", "max"):
            raise InvalidValueError("Invalid mode. Has to be min or max", value=mode, valid="'min' or 'max'")
        if window < 1:
            raise InvalidValueError("The window has no room", value=window, valid="≥ 1")
        self.mode, self.warmup, self.atol, self.rtol = mode, warmup, atol, rtol
        self.exclude_batches_path, self.finite_only = exclude_batches_path, finite_only
        self.bad_batches: list[int] = []
        self.last_val: float = 0.0
        self._recent: deque[float] = deque(maxlen=window)

    def on_train_batch_end(self, fabric: Any, loss: Tensor, batch: Any, batch_idx: int) -> None:
        """Judge ``loss``.

        Args:
            fabric: a Fabric or a Trainer; on several ranks one that sees a spike ends all.
            loss: one value.
            batch: not looked at.
            batch_idx: its place in the epoch.

        Raises:
            TrainingSpikeException: it is a spike; the list is written.
        """
        value, strategy = float(loss), fabric.strategy
        spike = strategy.reduce_boolean_decision(batch_idx >= self.warmup and self._is_spike(value), all=False)
        if spike:
            self._give_up(fabric, batch_idx)
        if self.finite_only or strategy.reduce_boolean_decision(_is_finite(value)):
            self._recent.append(value)
            self.last_val = value

    def _is_spike(self, value: float) -> bool:
        if self.finite_only and not _is_finite(value):
            return True
        change = value - self.last_val
        if change <= 0 if self.mode == "min" else change >= 0:
            return False
        if not self._recent:
            return False
        mean = sum(self._recent) / len(self._recent)
        distance = abs(value - mean)
        far = self.atol is None or distance >= abs(self.atol)
        return far and (self.rtol is None or distance >= abs(self.rtol * mean))

    def _give_up(self, fabric: Any, batch_idx: int) -> None:
        # Either this batch is bad, or the one before has spoilt the weights.
        self.bad_batches += [batch_idx - 1, batch_idx]
        if fabric.global_rank == 0:
            path = self._file()
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = draft_of(path)
            draft.write_text(json.dumps(self.bad_batches, indent=4), encoding="utf-8")
            draft.replace(path)
        raise TrainingSpikeException(batch_idx)

    def _file(self) -> Path:
        path = Path(self.exclude_batches_path or ".")
        return path if path.suffix == ".json" else path / FILE

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far, and the settings."""
        return {
            "last_val": self.last_val,
            "mode": self.mode,
            "warmup": self.warmup,
            "atol": self.atol,
            "rtol": self.rtol,
            "bad_batches": self.bad_batches,
            "bad_batches_path": None if self.exclude_batches_path is None else str(self.exclude_batches_path),
            "running": {"values": list(self._recent)},
            "mean": {},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again; a Lightning checkpoint has no recent values."""
        self.last_val, self.mode, self.warmup = state_dict["last_val"], state_dict["mode"], state_dict["warmup"]
        self.atol, self.rtol = state_dict["atol"], state_dict["rtol"]
        self.bad_batches = list(state_dict["bad_batches"])
        self.exclude_batches_path = state_dict["bad_batches_path"]
        self._recent.clear()
        self._recent.extend(state_dict.get("running", {}).get("values", ()))


class SpikeDetection(LossWatch, Callback):
    """Ends a fit by a ``TrainingSpikeException`` when the loss jumps.

    A value is a spike if it is worse than the one before and far from the mean of the recent ones. This batch and the
    one before are noted in ``skip_batches.json``, so that a fit that goes on from a checkpoint can leave them out.
    Each loss is read at once, which waits for the device.

    Args:
        mode: ``"min"`` if a rising value is bad, ``"max"`` if a falling one is.
        window: how many values the mean is taken over.
        warmup: batches of an epoch that are not judged.
        atol: the least distance from the mean that counts; None for any.
        rtol: the same as a multiple of the mean; None for any.
        exclude_batches_path: the file, or its folder, for the list; None for ``default_root_dir``.
        finite_only: whether NaN and infinity are spikes.

    Raises:
        InvalidValueError: another ``mode``, or a window without room.
    """

    @torch.no_grad()
    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Judge the batch's loss.

        Raises:
            TrainingSpikeException: it is a spike.
            InvalidTypeError: the step returned no loss.
        """
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if not isinstance(loss, Tensor):
            raise InvalidTypeError("outputs have to be a Tensor, or a Mapping with the key 'loss'", value=outputs)
        if self.exclude_batches_path is None:
            self.exclude_batches_path = Path(trainer.default_root_dir, FILE)
        super().on_train_batch_end(trainer, loss.detach(), batch, batch_idx)


def _is_finite(value: float) -> bool:
    return abs(value) < float("inf")  # false for NaN too
