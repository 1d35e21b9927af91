"""The logger that writes TensorBoard's event files and ``hparams.yaml``.

It must not know the run's own record; the package ``tensorboard`` is imported only when such a logger is made.
"""

from __future__ import annotations

import importlib.util
import os
import warnings
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lit_studio.base.errors import InvalidTypeError, MissingDependencyError
from lit_studio.loggers.base import params_to_dict, rank_zero_experiment
from lit_studio.loggers.folders import FolderLogger, flat, number, with_prefix, write_hparams

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardLogger(FolderLogger):
    """Writes event files into ``<save_dir>/<name>/version_<N>[/<sub_dir>]``.

    Args:
        save_dir: where experiments are kept; ``~`` and environment variables are expanded.
        name: the experiment's folder; None or empty puts versions into ``save_dir`` itself.
        version: a number or a folder's name; None takes the next free number when it is first asked for.
        log_graph: whether to write the model's graph, which needs ``example_input_array``.
        default_hp_metric: whether to log ``hp_metric`` = −1 with hyper-parameters that come without metrics, so that
            TensorBoard lists the run.
        prefix: put before each metric's name with ``-``.
        sub_dir: a folder inside the version's for the event files.
        kwargs: passed on to ``SummaryWriter``.

    Raises:
        MissingDependencyError: the package ``tensorboard`` is not installed.
    """

    NAME_HPARAMS_FILE = "hparams.yaml"

    def __init__(
        self,
        save_dir: str | Path,
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        log_graph: bool = False,
        default_hp_metric: bool = True,
        prefix: str = "",
        sub_dir: str | Path | None = None,
        **kwargs: Any,
    ):
        if importlib.util.find_spec("tensorboard") is None:
            raise MissingDependencyError("tensorboard", extra="tensorboard", purpose="TensorBoardLogger")
        super().__init__(os.path.expandvars(Path(save_dir).expanduser()), name, version, prefix)
        self._log_graph = log_graph
        self._default_hp_metric = default_hp_metric
        self._sub_dir = None if sub_dir is None else os.path.expandvars(Path(sub_dir).expanduser())
        self._kwargs = kwargs
        self._experiment: SummaryWriter | None = None
        self.hparams: dict[str, Any] = {}

    @property
    def sub_dir(self) -> str | None:
        """The folder inside the version's, if any."""
        return self._sub_dir

    @property
    def log_dir(self) -> str:
        """The folder of this version's event files."""
        return str(Path(super().log_dir) / self._sub_dir if self._sub_dir else super().log_dir)

    @property
    @rank_zero_experiment
    def experiment(self) -> SummaryWriter:
        """TensorBoard's ``SummaryWriter``."""
        if self._experiment is None:
            from torch.utils.tensorboard import SummaryWriter

            Path(self.log_dir).mkdir(parents=True, exist_ok=True)
            self._experiment = SummaryWriter(log_dir=self.log_dir, **self._kwargs)
        return self._experiment

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Write ``metrics``; a dict as a value becomes one chart of several lines."""
        self._write(metrics, step)

    def _write(self, metrics: Mapping[str, Any], step: int | None) -> None:
        for name, value in with_prefix(metrics, self._prefix, self.LOGGER_JOIN_CHAR).items():
            if isinstance(value, dict):
                self.experiment.add_scalars(name, {key: number(item) for key, item in value.items()}, step)
                continue
            try:
                self.experiment.add_scalar(name, number(value), step)
            except (TypeError, ValueError, RuntimeError) as error:
                raise InvalidTypeError(
                    f"The metric {name!r} can't be logged to TensorBoard ({error})", value=value, valid="one number"
                ) from error

    def log_hyperparams(
        self,
        params: dict[str, Any] | Namespace,
        metrics: dict[str, Any] | float | None = None,
        step: int | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Write hyper-parameters for ``hparams.yaml`` and TensorBoard's table of runs.

        Args:
            params: the hyper-parameters.
            metrics: metrics by which TensorBoard should compare runs; a single number is ``hp_metric``.
            step: the step of these metrics.
            args: ignored.
            kwargs: ignored.
        """
        fresh = params_to_dict(params)
        self.hparams.update(fresh)
        if metrics is None:
            metrics = {"hp_metric": -1} if self._default_hp_metric else {}
        elif not isinstance(metrics, dict):
            metrics = {"hp_metric": metrics}
        if not metrics:
            return
        from torch.utils.tensorboard.summary import hparams

        self._write(metrics, 0 if step is None else step)
        writer = self.experiment._get_file_writer()
        for summary in hparams(flat(fresh), metrics):  # type: ignore[no-untyped-call]
            writer.add_summary(summary)

    def log_graph(self, model: torch.nn.Module, input_array: torch.Tensor | None = None) -> None:
        """Write the model's graph, traced with ``input_array`` or the module's ``example_input_array``."""
        if not self._log_graph:
            return
        example = input_array if input_array is not None else getattr(model, "example_input_array", None)
        if example is None:
            warnings.warn("TensorBoardLogger(log_graph=True), but there is no example_input_array.", stacklevel=2)
            return
        was_training = model.training
        model.eval()
        try:
            with torch.no_grad():
                self.experiment.add_graph(model, example)
        finally:
            model.train(was_training)

    def save(self) -> None:
        """Flush the event file; write ``hparams.yaml`` into the version's folder once there is something to say."""
        self.experiment.flush()
        folder = Path(super().log_dir)
        if not (folder / self.NAME_HPARAMS_FILE).exists() or self.hparams:
            folder.mkdir(parents=True, exist_ok=True)
            write_hparams(folder, self.hparams)

    def finalize(self, status: str) -> None:
        """Save and close, if anything was ever written."""
        if self._experiment is not None:
            self.save()
            self._experiment.close()

    def __getstate__(self) -> dict[str, Any]:
        # The writer holds a thread and a file, and is made anew where it is needed.
        return {**self.__dict__, "_experiment": None}
