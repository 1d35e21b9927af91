"""The logger that writes to Weights & Biases.

It must not know the run's own record; the package ``wandb`` is imported, and its run begun, on the logger's own thread.
"""

from __future__ import annotations

import importlib.util
import os
import random
import string
import sys
import threading
import time
import warnings
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from lit_studio.base.errors import (
    InvalidTypeError,
    InvalidValueError,
    MisconfigurationException,
    MissingDependencyError,
)
from lit_studio.loggers.base import is_rank_zero, params_to_dict, rank_zero_experiment
from lit_studio.loggers.checkpoints import CheckpointUploads, Upload
from lit_studio.loggers.folders import plain, with_prefix
from lit_studio.loggers.queued import QueuedLogger

if TYPE_CHECKING:
    from lit_studio.callbacks.model_checkpoint import ModelCheckpoint

STEP = "trainer/global_step"
_MODES = {"dryrun": "offline", "run": "online"}  # older words that wandb still takes


class WandbLogger(QueuedLogger):
    """Writes metrics, media, hyper-parameters and checkpoints to a W&B run.

    Nothing waits for W&B but :attr:`experiment`: the run is begun in the background when something is first logged.
    ``WANDB_MODE`` and wandb's other variables hold; an API key is read by wandb alone.

    Args:
        name: the run's display name.
        save_dir: where wandb keeps its files; ``WANDB_DIR`` if that is set and this is not.
        version: the run's id, to go on with an earlier run; by default one is made up.
        offline: keep everything on disk, to be sent later with ``wandb sync``.
        dir: the same as ``save_dir``.
        id: the same as ``version``.
        anonymous: passed on to ``wandb.init`` if set.
        project: the project; by default ``WANDB_PROJECT``, else ``lightning_logs``.
        log_model: checkpoints as artifacts: ``"all"`` uploads each as it is written, True those kept at the end of a
            fit (each, where ``save_top_k=-1``), False (default) none.
        experiment: a wandb run to write to, instead of a new one.
        prefix: put before each metric's name with ``-``.
        checkpoint_name: the artifacts' name; ``model-<run id>`` by default.
        add_file_policy: ``"mutable"`` copies a checkpoint before the upload, ``"immutable"`` sends the file itself,
            which must stay then.
        kwargs: passed on to ``wandb.init``.

    Raises:
        MissingDependencyError: the package ``wandb`` is not installed.
        MisconfigurationException: ``log_model`` with ``offline``.
    """

    LOGGER_JOIN_CHAR = "-"

    def __init__(
        self,
        name: str | None = None,
        save_dir: str | Path = ".",
        version: str | None = None,
        offline: bool = False,
        dir: str | Path | None = None,
        id: str | None = None,
        anonymous: bool | None = None,
        project: str | None = None,
        log_model: Literal["all"] | bool = False,
        experiment: Any = None,
        prefix: str = "",
        checkpoint_name: str | None = None,
        add_file_policy: Literal["mutable", "immutable"] = "mutable",
        **kwargs: Any,
    ):
        if importlib.util.find_spec("wandb") is None:
            raise MissingDependencyError("wandb", extra="wandb", purpose="WandbLogger")
        if offline and log_model:
            raise MisconfigurationException(
                f"WandbLogger(log_model={log_model!r}) needs a connection, and offline=True rules it out",
                advice="Choose one of the two.",
            )
        super().__init__()
        default = os.environ.get("WANDB_DIR", ".")
        given = save_dir if os.fspath(save_dir or ".") != "." else dir
        self._wandb_init: dict[str, Any] = {
            "name": name,
            "project": project or os.environ.get("WANDB_PROJECT", "lightning_logs"),
            "dir": os.fspath(given or default),
            "id": version or id,
            "resume": "allow",
            **({"mode": "offline"} if offline else {}),
            **({"anonymous": "allow"} if anonymous else {}),
            **kwargs,
        }
        self._prefix = prefix
        self._experiment = experiment
        self._id: str | None = self._wandb_init["id"]
        self._attach_id: str | None = None
        self._uploads = CheckpointUploads(log_model)
        self._checkpoint_name = checkpoint_name
        self.add_file_policy = add_file_policy
        self._beginning, self._asked = threading.RLock(), False

    def __getstate__(self) -> dict[str, Any]:
        # The run stays with its process; the twin attaches to it where it can, else goes on under the same id.
        state = {**self.__dict__, "_id": self.version, "_experiment": None, "_beginning": None}
        state["_attach_id"] = getattr(self._experiment, "_attach_id", self._attach_id)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._beginning = threading.RLock()

    # The run ----------------------------------------------------------------------------------------------------

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The wandb run, begun if need be; this is the one place that waits for W&B."""
        return self._experiment if self._experiment is not None else self._begin()

    def _begin(self) -> Any:
        with self._beginning:
            if self._experiment is not None:
                return self._experiment
            import wandb

            if wandb.run is not None:
                self._experiment = wandb.run
                warnings.warn(
                    "There is a wandb run already in progress, and WandbLogger writes to it. Call `wandb.finish()` "
                    "before a new logger is made if that is not what you want.",
                    stacklevel=2,
                )
                return self._experiment
            self._experiment = self._attached(wandb) or self._fresh(wandb)
            return self._experiment

    def _attached(self, wandb: Any) -> Any:
        if self._attach_id is None:
            return None
        try:
            return wandb.attach(self._attach_id)
        except Exception:  # noqa: BLE001 - no service of the first process here: begin under the same id
            return None

    def _fresh(self, wandb: Any) -> Any:
        Path(self._wandb_init["dir"]).mkdir(parents=True, exist_ok=True)
        run = wandb.init(**{**self._wandb_init, "id": self.version, "mode": self._mode()})
        if getattr(run, "define_metric", None) is not None:
            if self._wandb_init.get("sync_tensorboard"):
                run.define_metric("*", step_metric="global_step")
            else:
                run.define_metric(STEP)
                run.define_metric("*", step_metric=STEP, step_sync=True)
        return run

    def _mode(self) -> str | None:
        """As given, else as the environment says now: wandb itself reads that only once a process."""
        mode = self._wandb_init.get("mode") or os.environ.get("WANDB_MODE")
        return _MODES.get(mode, mode) if mode else None

    def _queue(self, deliver: Any, item: Any, keep: bool = False) -> None:
        if not self._asked:
            self._asked = True
            # wandb asks a person for an account at the terminal, which must happen here and not behind their back.
            if self._experiment is None and is_rank_zero() and _would_ask(self._mode()):
                self._begin()
        super()._queue(deliver, item, keep)

    @property
    def save_dir(self) -> str:
        """Where wandb keeps its files."""
        return self._wandb_init["dir"]

    @property
    def name(self) -> str:
        """The project's name; the run's is ``experiment.name``."""
        return self._wandb_init["project"]

    @property
    def version(self) -> str | None:
        """The run's id, made up when first asked for on rank 0."""
        if self._experiment is not None:
            return self._experiment.id
        if self._id is None and is_rank_zero():
            wandb = sys.modules.get("wandb")
            current = getattr(wandb, "run", None)
            letters = random.SystemRandom().choices(string.ascii_lowercase + string.digits, k=8)
            self._id = current.id if current is not None else os.environ.get("WANDB_RUN_ID") or "".join(letters)
        return self._id

    def watch(
        self, model: torch.nn.Module, log: str | None = "gradients", log_freq: int = 100, log_graph: bool = True
    ) -> None:
        """Let wandb record ``model``'s gradients or parameters and its graph.

        Args:
            model: the model.
            log: ``"gradients"``, ``"parameters"``, ``"all"`` or None.
            log_freq: every so many backward passes.
            log_graph: whether to record the graph.
        """
        self.experiment.watch(model, log=log, log_freq=log_freq, log_graph=log_graph)

    def unwatch(self, model: torch.nn.Module | None = None) -> None:
        """End :meth:`watch` for ``model``, or for all."""
        self.experiment.unwatch(model)

    # What is logged ---------------------------------------------------------------------------------------------

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Add ``params`` to the run's configuration."""
        self._queue(self._send_config, plain(params_to_dict(params)), keep=True)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log ``metrics``, numbers or wandb's own objects, at ``step`` (``trainer/global_step``)."""
        row = {name: _now(value) for name, value in with_prefix(metrics, self._prefix, self.LOGGER_JOIN_CHAR).items()}
        if step is not None and not self._wandb_init.get("sync_tensorboard"):
            row[STEP] = step
        row.setdefault("_timestamp", time.time())
        self._queue(self._send_rows, row)

    def log_table(
        self,
        key: str,
        columns: list[str] | None = None,
        data: list[list[Any]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Log a table of ``columns`` and rows of ``data``, or of a pandas ``dataframe``."""
        if is_rank_zero():
            import wandb

            make: Any = wandb.Table
            self.log_metrics({key: make(columns=columns, data=data, dataframe=dataframe)}, step)

    def log_text(
        self,
        key: str,
        columns: list[str] | None = None,
        data: list[list[str]] | None = None,
        dataframe: Any = None,
        step: int | None = None,
    ) -> None:
        """Log texts, as a table."""
        self.log_table(key, columns, data, dataframe, step)

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Log ``images``: tensors, arrays, PIL images or paths.

        Args:
            key: the name.
            images: a list.
            step: optimizer steps.
            kwargs: arguments of ``wandb.Image``, each a list with one value an image, for instance ``caption``.

        Raises:
            InvalidTypeError: ``images`` is no list.
            InvalidValueError: a list of another length.
        """
        self._log_media("Image", "images", key, images, step, kwargs)

    def log_audio(self, key: str, audios: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Log ``audios``, arrays or paths; otherwise as :meth:`log_image`, with ``wandb.Audio``."""
        self._log_media("Audio", "audios", key, audios, step, kwargs)

    def log_video(self, key: str, videos: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Log ``videos``, arrays or paths; otherwise as :meth:`log_image`, with ``wandb.Video``."""
        self._log_media("Video", "videos", key, videos, step, kwargs)

    def _log_media(
        self, kind: str, argument: str, key: str, items: Any, step: int | None, more: dict[str, list[Any]]
    ) -> None:
        if not isinstance(items, list):
            raise InvalidTypeError(f'Expected a list as "{argument}"', value=type(items).__name__)
        for name, values in more.items():
            if len(values) != len(items):
                raise InvalidValueError(
                    f"{name!r} has another length than {argument!r}", value=len(values), valid=f"{len(items)} items"
                )
        if is_rank_zero():
            import wandb

            make = getattr(wandb, kind)
            each = [{name: values[index] for name, values in more.items()} for index in range(len(items))]
            self.log_metrics({key: [make(item, **own) for item, own in zip(items, each, strict=True)]}, step)

    # Artifacts --------------------------------------------------------------------------------------------------

    def use_artifact(self, artifact: str, artifact_type: str | None = None) -> Any:
        """Note that the run uses ``artifact`` (``entity/project/name:alias``), and return it."""
        return self.experiment.use_artifact(artifact, type=artifact_type)

    @staticmethod
    def download_artifact(
        artifact: str,
        save_dir: str | Path | None = None,
        artifact_type: str | None = None,
        use_artifact: bool | None = True,
    ) -> str:
        """Download ``artifact`` from W&B.

        Args:
            artifact: its path there.
            save_dir: where to; wandb's own place by default.
            artifact_type: its type.
            use_artifact: whether a run in progress notes that it uses it.

        Returns:
            The folder that it lies in; empty on ranks other than 0, which download nothing.
        """
        if not is_rank_zero():
            return ""
        import wandb

        run, find = wandb.run, wandb.Api
        found: Any = run.use_artifact(artifact) if run and use_artifact else find().artifact(artifact, artifact_type)
        return str(found.download(root=None if save_dir is None else os.fspath(save_dir)))

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Upload what ``log_model`` says."""
        if is_rank_zero():
            for upload in self._uploads.after_save(checkpoint_callback):
                self._queue(self._send_checkpoints, upload, keep=True)

    def finalize(self, status: str) -> None:
        """Wait for what is on its way, and after a success for the checkpoints to upload. The wandb run stays open."""
        if status == "success" and is_rank_zero():
            for upload in self._uploads.at_end():
                self._queue(self._send_checkpoints, upload, keep=True)
        super().finalize(status)

    # On the logger's thread -------------------------------------------------------------------------------------

    def _send_config(self, items: list[dict[str, Any]]) -> None:
        while items:
            self._begin().config.update(items[0], allow_val_change=True)
            del items[0]

    def _send_rows(self, rows: list[dict[str, Any]]) -> None:
        run = self._begin()
        while rows:
            run.log(rows[0])
            del rows[0]

    def _send_checkpoints(self, uploads: list[Upload]) -> None:
        import wandb

        run = self._begin()
        while uploads:
            one = uploads[0]
            name = self._checkpoint_name or f"model-{run.id}"
            artifact = wandb.Artifact(name=name, type="model", metadata=one.metadata)
            artifact.add_file(str(one.path), name="model.ckpt", policy=self.add_file_policy)
            logged = run.log_artifact(artifact, aliases=one.aliases)
            if self.add_file_policy == "immutable" and not run.offline:
                logged.wait()  # wandb reads the file itself
            if self.add_file_policy == "mutable" or not run.offline:
                one.release()
            del uploads[0]


def _would_ask(mode: str | None) -> bool:
    """Whether ``wandb.init`` would ask a person for an account."""
    if mode not in (None, "online", "shared") or sys.stdin is None or not sys.stdin.isatty():
        return False
    import wandb

    return wandb.api.api_key is None


def _now(value: Any) -> Any:
    """``value`` as it is at this moment: a tensor may change before it is sent."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.item() if value.numel() == 1 else value.detach().cpu().clone()
