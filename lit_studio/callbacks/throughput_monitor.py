"""The callback that logs how fast training and evaluation go, and the same for a loop of one's own.

It must not know how a rate is computed: :mod:`lit_studio.callbacks.throughput` does that.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from lit_studio.base.events import MetricsLogged, Points
from lit_studio.callbacks.base import Callback
from lit_studio.callbacks.peak_flops import get_available_flops
from lit_studio.callbacks.throughput import Throughput, compute_dtype

if TYPE_CHECKING:
    from lit_studio.fabric.fabric import Fabric
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer


class ThroughputMonitor(Callback):
    """Logs batches, samples, items and floating-point operations a second, by :class:`Throughput`.

    The names are ``<stage>/device/samples_per_sec`` and the like, written as often as ``log_every_n_steps``. A module
    that has an attribute ``flops_per_batch`` (see :func:`measure_flops`) gets operations a second, and the share of
    what its device could do. On CUDA only the batches that are logged are waited for.

    Args:
        batch_size_fn: the number of samples in a batch; all batches of a pass are taken to be of one size.
        length_fn: the number of items, such as tokens, in a batch.
        kwargs: for :class:`Throughput`.
    """

    def __init__(
        self, batch_size_fn: Callable[[Any], int], length_fn: Callable[[Any], int] | None = None, **kwargs: Any
    ):
        self.batch_size_fn, self.length_fn, self.kwargs = batch_size_fn, length_fn, kwargs
        self.available_flops: int | None = None
        self._watches: dict[str, _Watch] = {}
        self._has_flops: bool | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make ready for the call's stages."""
        self.available_flops = get_available_flops(trainer.strategy.root_device, compute_dtype(trainer.precision))
        stages = [trainer.stage_word]
        if stage == "fit" and trainer.enable_validation:
            stages.append("validate")
        settings = {"available_flops": self.available_flops, "world_size": trainer.world_size, **self.kwargs}
        self._watches = {word: _Watch(Throughput(**settings)) for word in stages}
        self._has_flops = None

    def _count(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> None:
        """Count a batch of an evaluation."""
        if not trainer.sanity_checking:
            number = self._watches[trainer.stage_word].passed + 1
            self._update(trainer, pl_module, batch, number, number)

    def _update(self, trainer: Trainer, pl_module: LightningModule, batch: Any, number: int, step: int) -> None:
        """Count a batch; log if it is one to log.

        Args:
            trainer: whose stage it is.
            pl_module: asked for ``flops_per_batch``.
            batch: the batch.
            number: of the step or batch that is complete, from 1; 0 in the middle of an accumulation.
            step: at which it is logged.
        """
        if not trainer.is_global_zero:
            return
        every = trainer.log_every_n_steps
        due = bool(number and every) and (number % every == 0 or trainer.should_stop)
        device = trainer.strategy.root_device
        if due and device.type == "cuda":
            torch.cuda.synchronize(device)
        with torch.inference_mode():  # whatever the functions compute is not trained on
            samples = self.batch_size_fn(batch)
            length = None if self.length_fn is None else self.length_fn(batch)
        watch = self._watches[trainer.stage_word]
        watch.update(samples, length, self._flops(pl_module))
        if due:
            self._log(trainer, watch.throughput, step)

    def _flops(self, pl_module: LightningModule) -> int | None:
        if self._has_flops is None:
            self._has_flops = hasattr(pl_module, "flops_per_batch")
            if not self._has_flops:
                warnings.warn(
                    "When using the `ThroughputMonitor`, you need to define a `flops_per_batch` attribute or property "
                    f"in {type(pl_module).__name__} to compute the FLOPs.",
                    stacklevel=2,
                )
        return pl_module.flops_per_batch if self._has_flops else None  # type: ignore[return-value]

    def _log(self, trainer: Trainer, throughput: Throughput, step: int) -> None:
        stage = trainer.stage_word
        values = {f"{stage}{throughput.separator}{name}": value for name, value in throughput.compute().items()}
        trainer.observation.read()  # loggers get what earlier steps logged first
        trainer.logged_metrics.update({name: torch.tensor(value) for name, value in values.items()})
        epoch = {"epoch": trainer.current_epoch} if stage == "train" else {}
        trainer.observation.write({**values, **epoch}, step)
        points = tuple(Points(name, (step,), (float(value),)) for name, value in values.items())
        trainer.emit(MetricsLogged(time.time(), trainer.current_epoch, points))

    def _start(self, trainer: Trainer) -> None:
        if not trainer.sanity_checking:
            self._watches[trainer.stage_word].start()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch."""
        complete = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        step = trainer.fit_loop.epoch_loop._batches_that_stepped
        self._update(trainer, pl_module, batch, step + 1 if complete else 0, step)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start validation's clock."""
        self._start(trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the batch."""
        self._count(trainer, pl_module, batch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the validation out of the training's time."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._watches["train"].resume()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start(trainer)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the batch."""
        self._count(trainer, pl_module, batch)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start(trainer)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the batch."""
        self._count(trainer, pl_module, batch)


class _Watch:
    """One stage's clock and totals."""

    def __init__(self, throughput: Throughput):
        self.throughput = throughput
        self._began = self._latest = 0.0
        self.passed = 0  # batches of all passes
        self._batches = self._samples = self._lengths = 0

    def start(self) -> None:
        """Begin anew."""
        self.throughput.reset()
        self._batches = self._samples = self._lengths = 0
        self._latest = 0.0
        self._began = time.perf_counter()

    def resume(self) -> None:
        """Go on as if no time had passed since the last batch."""
        self._began = time.perf_counter() - self._latest

    def update(self, samples: int, length: int | None, flops: int | None) -> None:
        """Count one batch."""
        self.passed += 1
        self._batches += 1
        self._samples += samples
        self._lengths += length or 0
        self._latest = time.perf_counter() - self._began
        self.throughput.update(
            time=self._latest,
            batches=self._batches,
            samples=self._samples,
            lengths=None if length is None else self._lengths,
            flops=flops,
        )


class FabricThroughput(Throughput):
    """:class:`Throughput` for a loop with Fabric; under Lightning's name ``ThroughputMonitor`` in ``fabric``.

    Args:
        fabric: with its loggers.
        kwargs: for :class:`Throughput`.

    Attributes:
        step: the number of the last call of :meth:`compute_and_log`, from 0.
    """

    def __init__(self, fabric: Fabric, **kwargs: Any):
        available = get_available_flops(fabric.device, compute_dtype(fabric._precision.precision))
        super().__init__(available_flops=available, world_size=fabric.world_size, **kwargs)
        self._fabric, self.step = fabric, -1

    def compute_and_log(self, step: int | None = None, **kwargs: Any) -> dict[str, int | float]:
        """Compute, log with ``fabric.log_dict`` and return the metrics; other ranks than 0 do nothing.

        Args:
            step: at which to log; one more than the last time if None.
            kwargs: for :meth:`Throughput.compute`.
        """
        self.step = self.step + 1 if step is None else step
        if not self._fabric.is_global_zero:
            return {}
        metrics = self.compute(**kwargs)
        self._fabric.log_dict(metrics, step=self.step)
        return metrics
