"""Shows at each validation what the model makes of a few samples.

It must not know how a picture is stored or drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lit_studio.base.errors import InvalidTypeError, InvalidValueError
from lit_studio.callbacks.base import Callback

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

Rows = Sequence[Mapping[str, Any]]
_ADVICE = "Pass describe=…, a function of the module, the batch and a number that returns a list of dicts."


class SamplePredictions(Callback):
    """Shows the first samples of the validation data with what the model says of them, once in each validation.

    The samples are the same every time, so that the slider on the dashboard shows how the model's mind changes. Without
    ``describe`` a batch is taken for ``(inputs, targets)``, and the module is called with the inputs, without
    gradients and in evaluation mode. What it returns of a shape ``(N, C)`` are scores of C classes. Images ``(N, 1, 3
    or 4, H, W)`` become one picture; targets, guesses and confidences a table.

    Args:
        samples: how many, at most 64.
        name: under which they are listed; the table's has ``/table`` behind it.
        labels: a word for each class.
        describe: makes the table's rows itself: called with the module, the batch and ``samples``, it returns a list of
            dicts, one for each sample. Then no picture is made unless the batch begins with images.
        every_n: show them at every so many validations.

    Raises:
        InvalidValueError: ``samples`` or ``every_n`` is out of range.
    """

    def __init__(
        self,
        samples: int = 16,
        name: str = "samples",
        labels: Sequence[str] | None = None,
        describe: Callable[[LightningModule, Any, int], Rows] | None = None,
        every_n: int = 1,
    ):
        if isinstance(samples, bool) or not isinstance(samples, int) or not 1 <= samples <= 64:
            raise InvalidValueError("So many samples can't be shown", value=samples, valid="1 to 64")
        if isinstance(every_n, bool) or not isinstance(every_n, int) or every_n < 1:
            raise InvalidValueError("Samples are shown at every so many validations", value=every_n, valid="1 or more")
        self.samples, self.name, self.labels, self.every_n = samples, name, labels, every_n
        self._describe = describe
        self._validations = 0

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Show the first batch of the first loader."""
        if batch_idx or dataloader_idx or not trainer.is_global_zero or not self._is_due(trainer):
            return
        inputs = batch[0] if isinstance(batch, tuple | list) and batch else batch
        images = _first_images(inputs, self.samples)
        if self._describe is not None:
            rows: Rows = self._describe(pl_module, batch, self.samples)
        else:
            rows = self._rows(pl_module, inputs, batch)
        if trainer.sanity_checking:  # what can't be shown is better told now than after an epoch
            return
        if images is not None:
            guesses = [f"{row['guess']}" for row in rows if "guess" in row]
            trainer.media.image(self.name, images, caption=", ".join(guesses))
        if rows:
            trainer.media.table(f"{self.name}/table", rows)

    def _is_due(self, trainer: Trainer) -> bool:
        if trainer.sanity_checking:
            return True
        self._validations += 1
        return (self._validations - 1) % self.every_n == 0

    def _rows(self, module: LightningModule, inputs: Any, batch: Any) -> Rows:
        if not isinstance(inputs, Tensor):
            raise InvalidTypeError(
                "SamplePredictions doesn't know what the model would say of such a batch",
                value=type(batch).__name__,
                valid="(inputs, targets) with a tensor of inputs",
                advice=_ADVICE,
            )
        with torch.no_grad():
            scores = module(inputs[: self.samples])
        if not isinstance(scores, Tensor) or not scores.dim():
            raise InvalidTypeError(
                "SamplePredictions needs a tensor from the module",
                value=type(scores).__name__,
                advice=_ADVICE,
            )
        scores = scores.detach().float().cpu()
        targets = batch[1] if isinstance(batch, tuple | list) and len(batch) > 1 else None
        return self._described(scores, targets)

    def _described(self, scores: Tensor, targets: Any) -> list[dict[str, Any]]:
        truth = targets[: len(scores)].detach().cpu().tolist() if isinstance(targets, Tensor) else [None] * len(scores)
        classes = scores.dim() == 2 and scores.shape[1] > 1
        confident, chosen = scores.softmax(1).max(1) if classes else (scores, scores)
        rows = []
        for index, (target, guess) in enumerate(zip(truth, chosen.tolist(), strict=True)):
            row: dict[str, Any] = {"sample": index}
            if target is not None:
                row["target"] = self._word(target)
            row["guess"] = self._word(guess) if classes else _short(guess)
            if classes:
                row["confidence"] = round(float(confident[index]), 4)
                if target is not None:
                    row["right"] = target == guess
            rows.append(row)
        return rows

    def _word(self, number: Any) -> Any:
        if self.labels is not None and isinstance(number, int) and 0 <= number < len(self.labels):
            return self.labels[number]
        return _short(number)


def _first_images(inputs: Any, samples: int) -> Tensor | None:
    if isinstance(inputs, Tensor) and inputs.dim() == 4 and inputs.shape[1] in (1, 3, 4):
        return inputs[:samples].detach()
    return None


def _short(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        return _short(value[0])
    if isinstance(value, list):
        return ", ".join(f"{each:.4g}" if isinstance(each, float) else str(each) for each in value[:8])
    return round(value, 6) if isinstance(value, float) else value
