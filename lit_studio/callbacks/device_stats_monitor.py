"""The callback that logs what the devices do: memory of the accelerator, load and memory of the host.

It must not know where the numbers are shown: it hands them to the loggers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lit_studio.base.errors import MisconfigurationException
from lit_studio.callbacks.base import Callback

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer


class DeviceStatsMonitor(Callback):
    """Logs device statistics before and after batches, as often as ``log_every_n_steps``.

    The names are ``DeviceStatsMonitor.<hook>/<statistic>``.

    Args:
        cpu_stats: whether to log the host's load and memory; None does so if the model is on the CPU.

    Raises:
        MisconfigurationException: (at the start) the Trainer has no logger.
    """

    def __init__(self, cpu_stats: bool | None = None):
        self._cpu_stats = cpu_stats

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse to run without a logger."""
        if not trainer.loggers:
            raise MisconfigurationException(
                "Cannot use `DeviceStatsMonitor` callback with a Trainer that has no logger",
                advice="Pass Trainer(logger=True) or a logger.",
            )

    def _log(self, trainer: Trainer, pl_module: LightningModule, hook: str, number: int) -> None:
        every = trainer.log_every_n_steps
        if trainer.fast_dev_run or every < 1 or (number + 1) % every:
            return
        device = pl_module.device
        stats = accelerator_stats(device)
        if self._cpu_stats or (self._cpu_stats is None and device.type == "cpu"):
            stats.update(host_stats())
        named = {f"{type(self).__qualname__}.{hook}/{name}": value for name, value in stats.items()}
        trainer.observation.write(named, trainer.fit_loop.epoch_loop._batches_that_stepped)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Log, if this step is one to log."""
        self._log(trainer, pl_module, "on_train_batch_start", trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log, if this step is one to log."""
        self._log(trainer, pl_module, "on_train_batch_end", trainer.global_step - 1)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Log, if this batch is one to log."""
        self._log_evaluation(trainer, pl_module, "on_validation_batch_start", batch_idx)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Log, if this batch is one to log."""
        self._log_evaluation(trainer, pl_module, "on_validation_batch_end", batch_idx)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Log, if this batch is one to log."""
        self._log_evaluation(trainer, pl_module, "on_test_batch_start", batch_idx)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Log, if this batch is one to log."""
        self._log_evaluation(trainer, pl_module, "on_test_batch_end", batch_idx)

    def _log_evaluation(self, trainer: Trainer, pl_module: LightningModule, hook: str, batch_idx: int) -> None:
        if not trainer.sanity_checking:
            self._log(trainer, pl_module, hook, batch_idx)


def accelerator_stats(device: torch.device) -> dict[str, float]:
    """What torch knows of the accelerator's memory: CUDA's allocator statistics, MPS's totals; bytes and counts."""
    if device.type == "cuda":
        return {name: float(value) for name, value in torch.cuda.memory_stats(device).items()}
    if device.type == "mps":
        return {
            "allocated_bytes": float(torch.mps.current_allocated_memory()),
            "driver_allocated_bytes": float(torch.mps.driver_allocated_memory()),
        }
    return {}


def host_stats() -> dict[str, float]:
    """CPU load since the last call, and memory and swap in use, in percent."""
    import psutil

    return {
        "cpu_percent": psutil.cpu_percent(),
        "cpu_vm_percent": psutil.virtual_memory().percent,
        "cpu_swap_percent": psutil.swap_memory().percent,
    }
