"""The CSV and TensorBoard loggers with the arguments that they have in Lightning's Fabric.

It must not log anything itself: these are the same loggers, told under other names where to write. Their own names are
others too, because a command line knows a logger by the name of its class.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lit_studio.loggers import csv_logs, tensorboard


class FabricCSVLogger(csv_logs.CSVLogger):
    """The CSV logger.

    Args:
        root_dir: the folder for all experiments.
        name: the experiment's folder within.
        version: the run's folder within that; by default the next number.
        prefix: before each metric's name.
        flush_logs_every_n_steps: write after so many steps.
    """

    def __init__(
        self,
        root_dir: str | Path,
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        prefix: str = "",
        flush_logs_every_n_steps: int = 100,
    ):
        super().__init__(root_dir, name, version, prefix, flush_logs_every_n_steps)


class FabricTensorBoardLogger(tensorboard.TensorBoardLogger):
    """The TensorBoard logger.

    Args:
        root_dir: the folder for all experiments.
        name: the experiment's folder within.
        version: the run's folder within that; by default the next number.
        default_hp_metric: whether hyper-parameters are logged with a metric ``hp_metric`` of −1.
        prefix: before each metric's name.
        sub_dir: a folder within the run's.
        kwargs: for ``SummaryWriter``.
    """

    def __init__(
        self,
        root_dir: str | Path,
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        default_hp_metric: bool = True,
        prefix: str = "",
        sub_dir: str | Path | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            root_dir, name, version, default_hp_metric=default_hp_metric, prefix=prefix, sub_dir=sub_dir, **kwargs
        )
