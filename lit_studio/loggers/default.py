"""The logger of a Trainer that was given none: TensorBoard's files where TensorBoard is installed, and a CSV file.

It must not know the loop. Programs that never named a logger draw pictures through ``logger.experiment`` and point
TensorBoard at ``lightning_logs``; others read ``metrics.csv`` there. Both find what they look for, in one folder.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lit_studio.loggers.csv_logs import CSVLogger
from lit_studio.loggers.folders import HPARAMS_FILE, write_hparams
from lit_studio.loggers.tensorboard import TensorBoardLogger

FLUSH_EVERY = 1.0  # seconds; it waits for TensorBoard's own thread


def default_logger(save_dir: str) -> CSVLogger | TensorBoardLogger:
    """The logger for ``Trainer(logger=True)``, writing below ``save_dir``."""
    return CSVLogger(save_dir) if find_spec("tensorboard") is None else DefaultLogger(save_dir)


class DefaultLogger(TensorBoardLogger):
    """A :class:`TensorBoardLogger` that writes ``metrics.csv`` too.

    TensorBoard is imported with the first value, and gets values about once a second: each one given alone wakes its
    thread, which a loop of short steps would notice.
    """

    def __init__(self, save_dir: str | Path):
        super().__init__(save_dir)
        self._table: CSVLogger | None = None
        self._held: list[tuple[str, float, int | None, float]] = []  # name, value, step, seconds since the epoch
        self._flush_at = 0.0

    @property
    def _csv(self) -> CSVLogger:
        if self._table is None:
            self._table = CSVLogger(self.save_dir, self.name, self.version)
            self._table.experiment.hparams = self.hparams  # one file for both
        return self._table

    @property
    def experiment(self) -> Any:
        """TensorBoard's ``SummaryWriter``, with everything written to it that was logged so far."""
        writer, held, self._held = super().experiment, self._held, []
        for name, value, step, moment in held:
            writer.add_scalar(name, value, step, moment)
        return writer

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Write ``metrics`` to both."""
        super().log_metrics(metrics, step)
        self._csv.log_metrics({name: value for name, value in metrics.items() if not isinstance(value, dict)}, step)

    def log_columns(self, steps: Sequence[int], columns: Mapping[str, Sequence[float]]) -> None:
        """Write a value of each column for each of ``steps`` to both, in one go."""
        now = time.time()
        for name, values in columns.items():
            self._held += [(name, value, step, now) for step, value in zip(steps, values, strict=True)]
        self._csv.log_columns(steps, columns)

    def save(self) -> None:
        """Bring everything to disk, TensorBoard's part at most once a second; at first there is ``hparams.yaml``."""
        wanted = self._experiment is not None or self._held
        if wanted and (now := time.monotonic()) >= self._flush_at:
            self._flush_at = now + FLUSH_EVERY
            self.experiment.flush()
        if not (Path(self.log_dir) / HPARAMS_FILE).exists() or self.hparams:
            Path(self.log_dir).mkdir(parents=True, exist_ok=True)
            write_hparams(Path(self.log_dir), self.hparams)
        if self._table is not None:
            self._table.save()

    def finalize(self, status: str) -> None:
        """Save and close, if anything was ever written."""
        if self._held:
            self.experiment.flush()
        super().finalize(status)
        if self._table is not None:
            self._table.finalize(status)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_table": None}
