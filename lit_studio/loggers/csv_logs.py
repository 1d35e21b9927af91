"""The logger that writes ``metrics.csv`` and ``hparams.yaml``.

It must not know the run's own record, which is written whether or not this logger is there.
"""

from __future__ import annotations

import csv
import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_studio.base.errors import InvalidValueError
from lit_studio.loggers.base import params_to_dict, rank_zero_experiment
from lit_studio.loggers.folders import FolderLogger, number, with_prefix, write_hparams

_FIRST = ("epoch", "step")


class ExperimentWriter:
    """The two files of one version.

    Rows are kept in memory until :meth:`save`, which appends them. Only when a metric appears that has no column yet
    is the file written anew (whole or not at all) with one more column. Rows that an older run left in the same
    folder are kept.

    Args:
        log_dir: the version's folder, made if missing.
    """

    NAME_HPARAMS_FILE = "hparams.yaml"
    NAME_METRICS_FILE = "metrics.csv"

    def __init__(self, log_dir: str | Path):
        self.log_dir = str(log_dir)
        Path(log_dir).mkdir(parents=True, exist_ok=True)
        self.metrics_file_path = str(Path(log_dir) / self.NAME_METRICS_FILE)
        self.metrics: list[dict[str, float]] = []
        self.hparams: dict[str, Any] = {}
        self._columns = self._columns_on_disk()
        self._rows = 0
        self._lines: list[str] = []  # rows that need no new column, as they will stand in the file
        self._hparams_written: dict[str, Any] | None = None

    def log_hparams(self, params: dict[str, Any]) -> None:
        """Add hyper-parameters."""
        self.hparams.update(params)

    def log_metrics(self, metrics_dict: Mapping[str, Any], step: int | None = None) -> None:
        """Add a row; without a ``step`` it gets the number of the rows before it."""
        row = {name: value if type(value) is float else number(value) for name, value in metrics_dict.items()}
        row["step"] = self._rows if step is None else step
        self._rows += 1
        self.metrics.append(row)

    def log_columns(self, steps: Sequence[int], columns: Mapping[str, Sequence[float]]) -> None:
        """Add a row for each of ``steps``: as so many :meth:`log_metrics`, in one go.

        Args:
            steps: of the rows.
            columns: the values of all rows by name; floats and integers.
        """
        if self.metrics or not columns.keys() <= set(self._columns):
            for step, *row in zip(steps, *columns.values(), strict=True):
                self.log_metrics(dict(zip(columns, row, strict=True)), step)
            return
        self._rows += len(steps)
        given = {**columns, "step": steps}
        line = ",".join("%r" if name in given else "" for name in self._columns) + "\r\n"
        rows = zip(*(given[name] for name in self._columns if name in given), strict=True)
        self._lines.extend(map(line.__mod__, rows))

    def save(self) -> None:
        """Write what is in memory."""
        if self._hparams_written != self.hparams:
            write_hparams(Path(self.log_dir), self.hparams)
            self._hparams_written = dict(self.hparams)
        if self._lines:
            with Path(self.metrics_file_path).open("a", newline="", encoding="utf-8") as file:
                file.write("".join(self._lines))
            self._lines = []
        if not self.metrics:
            return
        fresh = dict.fromkeys(name for row in self.metrics for name in row if name not in self._columns)
        if fresh:
            columns = [*self._columns, *fresh]
            self._write_anew(sorted(columns, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST)))
        else:
            self._append()
        self.metrics = []

    def _append(self) -> None:
        with Path(self.metrics_file_path).open("a", newline="", encoding="utf-8") as file:
            # A DictWriter would look for unknown columns in every row; here there are none.
            csv.writer(file).writerows([row.get(name, "") for name in self._columns] for row in self.metrics)

    def _write_anew(self, columns: list[str]) -> None:
        path = Path(self.metrics_file_path)
        draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with draft.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns, restval="")
                writer.writeheader()
                if self._columns:
                    with path.open(newline="", encoding="utf-8") as older:
                        for row in csv.DictReader(older):
                            row.pop(None, None)  # cells beyond the header
                            writer.writerow({name: value or "" for name, value in row.items()})
                writer.writerows(self.metrics)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        self._columns = columns

    def _columns_on_disk(self) -> list[str]:
        path = Path(self.metrics_file_path)
        if not path.exists() or path.stat().st_size == 0:
            return []
        with path.open("rb+") as raw:
            raw.seek(-1, os.SEEK_END)
            if raw.read(1) != b"\n":  # a crash tore the last row: it must not swallow the next one
                raw.write(b"\r\n")
        with path.open(newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])


class CSVLogger(FolderLogger):
    """Writes ``<save_dir>/<name>/version_<N>/metrics.csv`` and ``hparams.yaml`` beside it.

    Args:
        save_dir: where experiments are kept.
        name: the experiment's folder; None or empty puts versions into ``save_dir`` itself.
        version: a number or a folder's name; None takes the next free number when it is first asked for, and makes
            its folder then, so that no other process gets it.
        prefix: put before each metric's name with ``-``.
        flush_logs_every_n_steps: rows are written whenever so many steps have passed since the last time (and
            whenever the Trainer saves).

    Raises:
        InvalidValueError: ``flush_logs_every_n_steps`` is below 1.
    """

    def __init__(
        self,
        save_dir: str | Path,
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        prefix: str = "",
        flush_logs_every_n_steps: int = 100,
    ):
        if flush_logs_every_n_steps < 1:
            raise InvalidValueError(
                "flush_logs_every_n_steps is too small", value=flush_logs_every_n_steps, valid="≥ 1"
            )
        super().__init__(save_dir, name, version, prefix)
        self._flush_every = flush_logs_every_n_steps
        self._flushed = 0
        self._experiment: ExperimentWriter | None = None

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer of the two files."""
        if self._experiment is None:
            self._experiment = ExperimentWriter(self.log_dir)
        return self._experiment

    def log_hyperparams(self, params: dict[str, Any] | Namespace | None = None, *args: Any, **kwargs: Any) -> None:
        """Keep hyper-parameters for ``hparams.yaml``."""
        self.experiment.log_hparams(params_to_dict(params))

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a row of ``metrics``."""
        experiment = self._experiment or self.experiment
        row = with_prefix(metrics, self._prefix, self.LOGGER_JOIN_CHAR) if self._prefix else metrics
        experiment.log_metrics(row, step)
        if step is not None and (step + 1) // self._flush_every != self._flushed:
            self._flushed = (step + 1) // self._flush_every
            self.experiment.save()

    def log_columns(self, steps: Sequence[int], columns: Mapping[str, Sequence[float]]) -> None:
        """Add a row for each of ``steps``: as so many :meth:`log_metrics`, in one go."""
        experiment = self._experiment or self.experiment
        own = type(self).log_metrics is not CSVLogger.log_metrics or "log_metrics" in self.__dict__
        if own or type(experiment) is not ExperimentWriter:
            for step, *row in zip(steps, *columns.values(), strict=True):
                self.log_metrics(dict(zip(columns, row, strict=True)), step)
            return
        experiment.log_columns(steps, with_prefix(columns, self._prefix, self.LOGGER_JOIN_CHAR))

    def save(self) -> None:
        """Write both files."""
        self.experiment.save()

    def finalize(self, status: str) -> None:
        """Write both files, if anything was ever logged."""
        if self._experiment is not None:
            self.save()
