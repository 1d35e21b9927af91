"""The logger that writes to an MLflow tracking server or store.

It must not know the run's own record; the package ``mlflow`` is imported, and its run made, on the logger's own thread.
"""

from __future__ import annotations

import importlib.util
import os
import re
import tempfile
import threading
import time
import uuid
import warnings
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from lit_studio.base.errors import MisconfigurationException, MissingDependencyError
from lit_studio.loggers.base import is_rank_zero, params_to_dict, rank_zero_experiment
from lit_studio.loggers.checkpoints import CheckpointUploads, Upload
from lit_studio.loggers.folders import flat, number, with_prefix
from lit_studio.loggers.queued import QueuedLogger

if TYPE_CHECKING:
    from lit_studio.callbacks.model_checkpoint import ModelCheckpoint

LONGEST_VALUE = 500
PARAMETERS_A_CALL = 100
_FILE = "file:"
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_/. -]+")
_STATUS = {"success": "FINISHED", "finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class MLFlowLogger(QueuedLogger):
    """Writes metrics, parameters and checkpoints to an MLflow run.

    Metrics go out in batches from a thread of the logger's own. Works with the package ``mlflow`` and with
    ``mlflow-skinny``, which needs ``sqlalchemy`` and ``alembic`` besides for a database as the store.

    Args:
        experiment_name: the experiment, made if there is none of this name.
        run_name: the run's name, which wins over a tag ``mlflow.runName``.
        tracking_uri: the server or store; by default ``MLFLOW_TRACKING_URI``, else one in ``save_dir``.
        tags: of the run.
        save_dir: where the store lies if there is no ``tracking_uri``: a file store where MLflow still allows one
            (``MLFLOW_ALLOW_FILE_STORE=true`` in newer versions), else ``mlflow.db`` with ``artifacts`` beside it.
        log_model: checkpoints as artifacts: ``"all"`` uploads each as it is written, True those kept at the end (each,
            where ``save_top_k=-1``), False (default) none.
        prefix: put before each metric's name with ``-``.
        artifact_location: where the experiment's artifacts go, if it is made.
        run_id: a run to go on with.
        synchronous: whether each call to MLflow waits; it is passed on, and training waits in neither case.
        checkpoint_path_prefix: the artifacts' folder, before each checkpoint's own.

    Attributes:
        connect_timeout: seconds that :attr:`name` and :attr:`version` wait for the server, which gives out both
            (default 20). After that the run goes on under a name made up here.

    Raises:
        MissingDependencyError: MLflow, or what it needs for a database, is not installed.
        MisconfigurationException: ``tracking_uri`` is a folder, which the installed MLflow refuses.
    """

    LOGGER_JOIN_CHAR = "-"
    connect_timeout = 20.0

    def __init__(
        self,
        experiment_name: str = "lightning_logs",
        run_name: str | None = None,
        tracking_uri: str | None = None,
        tags: dict[str, Any] | None = None,
        save_dir: str | Path | None = "./mlruns",
        log_model: Literal["all"] | bool = False,
        prefix: str = "",
        artifact_location: str | None = None,
        run_id: str | None = None,
        synchronous: bool | None = None,
        checkpoint_path_prefix: str = "",
    ):
        if importlib.util.find_spec("mlflow") is None:
            raise MissingDependencyError("mlflow", extra="mlflow", purpose="MLFlowLogger")
        super().__init__()
        self._save_dir = None if save_dir is None else os.fspath(save_dir)
        given = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._tracking_uri, self._owns_store = given or self._local_store(), not given
        if self._tracking_uri.startswith(_FILE) and not _allows_file_store():
            raise MisconfigurationException(
                "The installed MLflow no longer keeps runs in plain folders",
                value=self._tracking_uri,
                advice="Use tracking_uri='sqlite:///mlflow.db', or set MLFLOW_ALLOW_FILE_STORE=true.",
            )
        self._artifact_location = artifact_location
        if self._tracking_uri.split(":")[0].split("+")[0] in _DATABASES:
            for package in ("sqlalchemy", "alembic"):
                if importlib.util.find_spec(package) is None:
                    raise MissingDependencyError(package, extra="mlflow", purpose="MLFlowLogger with a database")
        self._experiment_name, self._run_name, self.tags = experiment_name, run_name, tags
        self._experiment_id: str | None = None
        self._run_id = run_id
        self._prefix, self._path_prefix = prefix, checkpoint_path_prefix
        self._uploads = CheckpointUploads(log_model)
        self._call = {} if synchronous is None else {"synchronous": synchronous}
        self._client: Any = None
        self._stand_in: str | None = None
        self._told: set[str] = set()
        self._connecting, self._connected, self._used = threading.RLock(), False, False

    def _local_store(self) -> str:
        folder = self._save_dir or "./mlruns"
        if _allows_file_store():
            return f"{_FILE}{folder}"
        return f"sqlite:///{Path(folder).absolute() / 'mlflow.db'}"

    def __getstate__(self) -> dict[str, Any]:
        # The connection stays with its process; the twin goes on with the same run.
        return {**self.__dict__, "_client": None, "_connected": False, "_connecting": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._connecting = threading.RLock()

    # The run ----------------------------------------------------------------------------------------------------

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """MLflow's client, its run made; waits for the server."""
        return self._connect()

    def _connect(self) -> Any:
        with self._connecting:
            if not self._connected:
                import mlflow
                from mlflow.tracking import MlflowClient

                if self._tracking_uri.startswith("sqlite:///"):
                    Path(self._tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
                mlflow.set_tracking_uri(self._tracking_uri)
                self._client = MlflowClient(self._tracking_uri)
                self._open_run()
                self._connected = True
            return self._client

    def _open_run(self) -> None:
        client = self._client
        if self._run_id is not None:
            self._experiment_id = client.get_run(self._run_id).info.experiment_id
            return
        found = client.get_experiment_by_name(self._experiment_name)
        if found is not None and found.lifecycle_stage != "deleted":
            self._experiment_id = found.experiment_id
        else:
            location = self._artifact_location or self._local_artifacts()
            self._experiment_id = client.create_experiment(self._experiment_name, artifact_location=location)
        from mlflow.tracking.context.registry import resolve_tags

        self.tags = dict(self.tags or {})
        if self._run_name is not None:
            self.tags["mlflow.runName"] = self._run_name
        run = client.create_run(experiment_id=self._experiment_id, tags=resolve_tags(self.tags))
        self._run_id = run.info.run_id

    def _local_artifacts(self) -> str | None:
        if not self._owns_store or self._tracking_uri.startswith(_FILE):
            return None
        return (Path(self._save_dir or "./mlruns").absolute() / "artifacts").as_uri()

    def _wait_for_run(self) -> bool:
        """Whether the run was made within :attr:`connect_timeout`; if not, it goes on by a name of ours for good."""
        if not is_rank_zero():
            return False
        if self._stand_in is None and not self._connected:
            self._queue(self._send_nothing, None, keep=True)
            self._outbox.flush(self.connect_timeout)
            if not self._connected:
                self._stand_in = uuid.uuid4().hex
        return self._stand_in is None

    @property
    def run_id(self) -> str | None:
        """The run's id; waits for the server."""
        _ = self.experiment
        return self._run_id

    @property
    def experiment_id(self) -> str | None:
        """The experiment's id; waits for the server."""
        _ = self.experiment
        return self._experiment_id

    @property
    def name(self) -> str | None:
        """The experiment's id; its name, if the server doesn't answer in time. None on ranks other than 0."""
        if self._wait_for_run():
            return self._experiment_id
        return self._experiment_name if self._stand_in else None

    @property
    def version(self) -> str | None:
        """The run's id; one made up here, if the server doesn't answer in time. None on ranks other than 0."""
        if self._run_id is None:
            self._wait_for_run()
        return self._stand_in or self._run_id

    @property
    def save_dir(self) -> str | None:
        """The folder of a local store, None for servers and for databases elsewhere."""
        if self._tracking_uri.startswith(_FILE):
            return self._tracking_uri.removeprefix(_FILE)
        return (self._save_dir or "./mlruns") if self._owns_store else None

    # What is logged ---------------------------------------------------------------------------------------------

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Record ``params``, nested ones as ``a/b``; text beyond 500 characters is cut off with a warning."""
        for name, value in flat(params_to_dict(params)).items():
            text = str(value)
            if len(text) > LONGEST_VALUE:
                self._tell_once(
                    f"MLflow keeps {LONGEST_VALUE} characters of a parameter, so {name!r} is cut off after these."
                )
            self._queue(self._send_params, (self._clean(name), text[:LONGEST_VALUE]), keep=True)
            self._used = True

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record ``metrics`` at ``step``; texts are left out with a warning."""
        now = int(time.time() * 1000)
        for name, value in with_prefix(metrics, self._prefix, self.LOGGER_JOIN_CHAR).items():
            if isinstance(value, str):
                self._tell_once(f"MLflow's metrics are numbers, so the text {name!r} is left out.")
                continue
            self._queue(self._send_metrics, (self._clean(name), float(number(value)), now, step or 0))
        self._used = True

    def _clean(self, name: str) -> str:
        clean = _FORBIDDEN.sub("", name)
        if clean != name:
            self._tell_once(f"MLflow allows letters, digits and '_/. -' in names, so {name!r} becomes {clean!r}.")
        return clean

    def _tell_once(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            warnings.warn(message, RuntimeWarning, stacklevel=4)

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Upload what ``log_model`` says."""
        if is_rank_zero():
            for upload in self._uploads.after_save(checkpoint_callback):
                self._queue(self._send_checkpoints, upload, keep=True)

    def finalize(self, status: str = "success") -> None:
        """Upload the checkpoints that are due, set the run's status, and wait for what is on its way."""
        if not (self._used or self._connected):
            return
        if is_rank_zero():
            for upload in self._uploads.at_end():
                self._queue(self._send_checkpoints, upload, keep=True)
            self._queue(self._send_status, _STATUS.get(status, status), keep=True)
        super().finalize(status)

    # On the logger's thread -------------------------------------------------------------------------------------

    def _send_nothing(self, items: list[None]) -> None:
        self._connect()

    def _send_metrics(self, items: list[tuple[str, float, int, int]]) -> None:
        client = self._connect()
        from mlflow.entities import Metric

        _settle(client.log_batch(self._run_id, metrics=[Metric(*item) for item in items], **self._call))

    def _send_params(self, items: list[tuple[str, str]]) -> None:
        client = self._connect()
        from mlflow.entities import Param

        while items:
            some = [Param(*item) for item in items[:PARAMETERS_A_CALL]]
            _settle(client.log_batch(self._run_id, params=some, **self._call))
            del items[:PARAMETERS_A_CALL]

    def _send_checkpoints(self, uploads: list[Upload]) -> None:
        client = self._connect()
        while uploads:
            one = uploads[0]
            place = "/".join(part for part in (self._path_prefix.strip("/"), Path(one.name).stem) if part)
            client.log_artifact(self._run_id, str(one.path), place)
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "metadata.yaml").write_text(yaml.safe_dump(one.metadata), encoding="utf-8")
                Path(folder, "aliases.txt").write_text(str(one.aliases), encoding="utf-8")
                client.log_artifacts(self._run_id, folder, place)
            one.release()
            del uploads[0]

    def _send_status(self, items: list[str]) -> None:
        self._connect().set_terminated(self._run_id, items[-1])


def _settle(operation: Any) -> None:
    """Wait for a call that MLflow makes in the background: this thread can wait, and errors come out."""
    if operation is not None:
        operation.wait()


def _allows_file_store() -> bool:
    """Whether this MLflow keeps runs in plain folders; one that knows the switch does only when it is on."""
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("1", "true"):
        return True
    spec = importlib.util.find_spec("mlflow")  # looked at and not imported, which takes seconds
    places = (spec and spec.submodule_search_locations) or []
    sources = (Path(place, "environment_variables.py") for place in places)
    return not any("MLFLOW_ALLOW_FILE_STORE" in file.read_text(encoding="utf-8") for file in sources if file.exists())
