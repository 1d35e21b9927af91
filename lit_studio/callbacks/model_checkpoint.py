"""The callback that saves checkpoints: the best by a metric, at intervals, and always the newest.

It must not know what a checkpoint holds or how it is written: ``trainer.save_checkpoint`` does that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import warnings
from copy import copy
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from lit_studio.base.errors import MisconfigurationException
from lit_studio.base.events import CheckpointSaved
from lit_studio.base.files import link_file
from lit_studio.callbacks.base import Checkpoint, validates_once_an_epoch
from lit_studio.callbacks.checkpoint_arguments import check_arguments
from lit_studio.callbacks.checkpoint_names import fill_template, matches_template
from lit_studio.callbacks.on_exception_checkpoint import saving_after

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

_log = logging.getLogger(__name__)
_KEPT = (
    "monitor",
    "best_model_score",
    "best_model_path",
    "current_score",
    "dirpath",
    "best_k_models",
    "kth_best_model_path",
    "kth_value",
    "last_model_path",
)


class ModelCheckpoint(Checkpoint):
    """Saves the best checkpoints by ``monitor``, or the newest where there is no monitor.

    A file that is to go is removed only when the one that replaces it, and ``last.ckpt``, are complete on disk.
    With ``save_last`` the file ``last.ckpt`` is always the newest state: it is written at every trigger, even if the
    metric did not get better; a ``last.ckpt`` that another run left in the same folder is kept as ``last-v1.ckpt``.

    Args:
        dirpath: where to save; by default ``checkpoints`` in the first logger's directory of this run, or in
            ``default_root_dir`` without a logger.
        filename: a template such as ``"{epoch:02d}-{val_loss:.2f}"``; ``"{epoch}-{step}"`` by default. A metric that
            was not logged shows as 0.
        monitor: the metric that decides; None keeps the newest.
        verbose: whether to log each save.
        save_last: True writes ``last.ckpt``; ``"link"`` makes it a symbolic link where the newest state was
            saved under another name anyway.
        save_top_k: how many to keep: −1 all, 0 none.
        save_on_exception: whether to save when a fit fails or is interrupted.
        save_weights_only: whether to leave out optimizers, schedulers and loops.
        mode: ``"min"`` or ``"max"``: what is better.
        auto_insert_metric_name: whether the template's ``{name}`` becomes ``name=value`` or just the value.
        every_n_train_steps: save every so many optimizer steps.
        train_time_interval: save when so much time has passed.
        every_n_epochs: save every so many epochs (1 by default). The three triggers exclude one another.
        save_on_train_epoch_end: whether to save at the end of the training epoch rather than of validation; by
            default as soon as the metrics of both are there.
        enable_version_counter: whether a file that exists gets a sibling ``-v1`` rather than being replaced.

    Attributes:
        best_model_path: the best file (without a monitor: the newest), empty before the first.
        best_model_score: its metric.
        best_k_models: metric by path for the files that are kept.
        kth_best_model_path: the worst of them; ``kth_value`` is its metric.
        current_score: the metric at the last trigger that saved.
        last_model_path: the file that ``save_last`` wrote.

    Raises:
        MisconfigurationException: arguments that contradict one another, or (while training) a monitor that
            validation has not logged.
    """

    CHECKPOINT_JOIN_CHAR = "-"
    CHECKPOINT_EQUALS_CHAR = "="
    CHECKPOINT_NAME_LAST = "last"
    FILE_EXTENSION = ".ckpt"
    STARTING_VERSION = 1

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        monitor: str | None = None,
        verbose: bool = False,
        save_last: bool | Literal["link"] | None = None,
        save_top_k: int = 1,
        save_on_exception: bool = False,
        save_weights_only: bool = False,
        mode: str = "min",
        auto_insert_metric_name: bool = True,
        every_n_train_steps: int | None = None,
        train_time_interval: timedelta | None = None,
        every_n_epochs: int | None = None,
        save_on_train_epoch_end: bool | None = None,
        enable_version_counter: bool = True,
    ):
        if every_n_train_steps is None and every_n_epochs is None and train_time_interval is None:
            every_n_epochs = 1
        self.dirpath: str | None = None if dirpath is None else _folder(dirpath)
        self.filename = filename
        self.monitor = monitor
        self.verbose = verbose
        self.save_last = save_last
        self.save_top_k = save_top_k
        self.save_on_exception = save_on_exception
        self.save_weights_only = save_weights_only
        self.mode = mode
        self.auto_insert_metric_name = auto_insert_metric_name
        self.enable_version_counter = enable_version_counter
        self._every_n_train_steps = every_n_train_steps or 0
        self._every_n_epochs = every_n_epochs or 0
        self._train_time_interval = train_time_interval
        self._save_on_train_epoch_end = save_on_train_epoch_end
        check_arguments(self)
        self.best_model_path = ""
        self.best_model_score: torch.Tensor | None = None
        self.best_k_models: dict[str, torch.Tensor] = {}
        self.kth_best_model_path = ""
        self.kth_value = torch.tensor(torch.inf if mode == "min" else -torch.inf)
        self.current_score: torch.Tensor | None = None
        self.last_model_path = ""
        self._last_step_saved = 0
        self._last_time_saved = time.monotonic()
        self._validated = False
        self._deferred = False
        self._warned = False

    @property
    def every_n_epochs(self) -> int | None:
        """Epochs between saves, 0 where another trigger decides."""
        return self._every_n_epochs

    @property
    def state_key(self) -> str:
        """The class and the arguments that decide when and by what it saves."""
        return self._generate_state_key(
            monitor=self.monitor,
            mode=self.mode,
            every_n_train_steps=self._every_n_train_steps,
            every_n_epochs=self._every_n_epochs,
            train_time_interval=self._train_time_interval,
        )

    def state_dict(self) -> dict[str, Any]:
        """The best ones and where they lie."""
        return {name: copy(getattr(self, name)) for name in _KEPT}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best ones up again; in another folder only ``best_model_path``, for the older ones aren't ours."""
        self.best_model_path = state_dict["best_model_path"]
        before = state_dict.get("dirpath", self.dirpath)
        if before != self.dirpath:
            warnings.warn(
                f"The dirpath has changed from {before!r} to {self.dirpath!r}, so of the checkpoints before only the "
                "best one's path is taken up.",
                stacklevel=2,
            )
            return
        for name in ("best_model_score", "kth_best_model_path", "kth_value", "last_model_path"):
            setattr(self, name, state_dict.get(name, getattr(self, name)))
        self.best_k_models = dict(state_dict.get("best_k_models", {}))

    # When -------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Fix the folder."""
        if self.dirpath is None:
            self.dirpath = self._default_folder(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of ``train_time_interval``."""
        self._last_time_saved = time.monotonic()
        self._validated = self._deferred = False
        self._last_step_saved = 0  # of an earlier fit with this callback

    def _is_idle_in(self, hook: str) -> bool:
        if hook != "on_train_batch_end" or type(self).on_train_batch_end is not ModelCheckpoint.on_train_batch_end:
            return False
        return self._every_n_train_steps < 1 and self._train_time_interval is None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save by steps or by time."""
        if self._every_n_train_steps >= 1:
            due = trainer.global_step % self._every_n_train_steps == 0
        elif self._train_time_interval is not None:
            due = time.monotonic() - self._last_time_saved >= self._train_time_interval.total_seconds()
            due = trainer.strategy.reduce_boolean_decision(due, all=False)  # clocks differ
        else:
            return
        if not due or self._should_skip(trainer):
            return
        self._last_time_saved = time.monotonic()
        if self.monitor not in (None, "epoch", "step") and self._value_is_coming(trainer, batch_idx):
            self._deferred = True
        else:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save by epochs, or what waited for this epoch's metrics."""
        if self._saves_at_epoch_end(trainer):
            self._save_if_epoch_is_due(trainer)
        if self._deferred:
            self._save_deferred(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save by epochs where validation decides, or what waited for its metrics."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._validated = True
        if self._deferred and self.monitor in trainer.callback_metrics:
            self._save_deferred(trainer)
        elif not self._saves_at_epoch_end(trainer):
            self._save_if_epoch_is_due(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """With ``save_last`` there is always a ``last``, even if no trigger was met."""
        if self.save_last and not self._last_step_saved and not self._should_skip(trainer):
            self._save_last(trainer, "", self._plan_last(self._candidates(trainer)))
            self._last_step_saved = trainer.global_step

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save where ``save_on_exception`` asks for it."""
        if self.save_on_exception and not self._should_skip(trainer):
            with saving_after(exception):
                self.save_now(trainer, "exception")

    def save_now(self, trainer: Trainer, reason: str) -> str:
        """Save this state whatever the metric is, apart from the best ones; returns the path.

        Args:
            trainer: the running trainer.
            reason: as for ``CheckpointSaved``: ``"user"``, ``"stop"`` or ``"exception"``.
        """
        candidates = self._candidates(trainer)
        previous_last = self._plan_last(candidates)
        (path,) = self._as_rank_zero(trainer, self._free_name(self.format_checkpoint_name(candidates)))
        trainer.save_checkpoint(path, self.save_weights_only)
        self._save_last(trainer, path, previous_last)
        self._tell(trainer, path, reason)
        return path

    def _save_if_epoch_is_due(self, trainer: Trainer) -> None:
        n = self._every_n_epochs
        if n >= 1 and (trainer.current_epoch + 1) % n == 0 and not self._should_skip(trainer):
            self._save(trainer)

    def _save_deferred(self, trainer: Trainer) -> None:
        self._deferred = False
        if not self._should_skip(trainer):
            self._save(trainer)

    def _should_skip(self, trainer: Trainer) -> bool:
        return bool(
            trainer.fast_dev_run
            or trainer.state.fn != "fit"
            or trainer.sanity_checking
            or self._last_step_saved == trainer.global_step
        )

    def _value_is_coming(self, trainer: Trainer, batch_idx: int) -> bool:
        """Whether the metric of this very state is known only after a validation that comes at once."""
        if self.monitor not in trainer.callback_metrics:
            return True
        if sum(trainer.num_val_batches) == 0:
            return False
        every = trainer.check_val_every_n_epoch
        if every is not None and (trainer.current_epoch + 1) % every != 0:
            return False
        last = batch_idx + 1 == trainer.num_training_batches
        done = batch_idx + 1 if every is not None else trainer.fit_loop.total_batch_idx + 1
        return last or done % trainer.val_check_batch == 0

    def _saves_at_epoch_end(self, trainer: Trainer) -> bool:
        if self._save_on_train_epoch_end is not None:
            return self._save_on_train_epoch_end
        if trainer.check_val_every_n_epoch != 1:
            return False
        return sum(trainer.num_val_batches) == 0 or validates_once_an_epoch(trainer)

    # What -------------------------------------------------------------------------------------------------------

    def _save(self, trainer: Trainer) -> None:
        candidates = self._candidates(trainer)
        before = self.state_dict()
        doomed: list[str] = []
        try:
            # Noted before anything is written, because every file carries this state.
            previous_last = self._plan_last(candidates)
            path, doomed = self._as_rank_zero(trainer, self._keep_best(trainer, candidates, doomed), doomed)
            if path:
                trainer.save_checkpoint(path, self.save_weights_only)
            last = self._save_last(trainer, path, previous_last)
        except BaseException:  # a full disk or ^C: what is noted must be what is on disk
            for name, value in before.items():
                setattr(self, name, value)
            raise
        if not (path or last):
            return
        self._last_step_saved = trainer.global_step
        for old in (*doomed, previous_last):
            if old and old not in (path, last):
                self._remove(trainer, old)
        reason = "last" if not path else "interval" if self.monitor is None else "monitor"
        self._tell(trainer, path or last, reason)

    def _keep_best(self, trainer: Trainer, candidates: dict[str, Any], doomed: list[str]) -> str:
        """Note the file that is to be saved now (empty: none) and add to ``doomed`` what it replaces."""
        if self.save_top_k == 0:
            return ""
        if self.monitor is None:
            previous = self.best_model_path
            replaced = previous if self.save_top_k == 1 else ""
            self.best_model_path = self._free_name(self.format_checkpoint_name(candidates), replaced)
            if replaced:
                doomed.append(replaced)
            return self.best_model_path
        current = self._monitored(candidates)
        if current is None or not self.check_monitor_top_k(trainer, current):
            if self.verbose and current is not None:
                _log.info("Step %d: %s was not in the top %d", trainer.global_step, self.monitor, self.save_top_k)
            return ""
        return self._rank(candidates, current, doomed)

    def _rank(self, candidates: dict[str, Any], current: torch.Tensor, doomed: list[str]) -> str:
        worst = torch.inf if self.mode == "min" else -torch.inf
        current = torch.tensor(worst) if torch.isnan(current) else current
        goes = self.kth_best_model_path if len(self.best_k_models) == self.save_top_k else ""
        if goes:
            self.best_k_models.pop(goes)
            doomed.append(goes)
        path = self._free_name(self.format_checkpoint_name(candidates), goes)
        self.current_score = self.best_k_models[path] = current
        ranked = sorted(self.best_k_models, key=lambda key: float(self.best_k_models[key]), reverse=self.mode == "max")
        self.best_model_path, self.kth_best_model_path = ranked[0], ranked[-1]
        self.best_model_score = self.best_k_models[ranked[0]]
        self.kth_value = self.best_k_models[ranked[-1]]
        return path

    def _monitored(self, candidates: dict[str, Any]) -> torch.Tensor | None:
        value = candidates.get(self.monitor or "")
        if value is not None:
            return torch.as_tensor(value)
        message = (
            f"ModelCheckpoint(monitor={self.monitor!r}) could not find the monitored key; "
            f"logged were: {', '.join(candidates) or 'none'}."
        )
        advice = f"Log it with self.log({self.monitor!r}, value) in the module."
        if self._validated:
            raise MisconfigurationException(message, advice=advice)
        if not self._warned:
            self._warned = True
            warnings.warn(f"{message} {advice}", stacklevel=2)
        return None

    def check_monitor_top_k(self, trainer: Trainer, current: torch.Tensor | None = None) -> bool:
        """Whether a checkpoint whose metric is ``current`` belongs to those that are kept."""
        if current is None or self.save_top_k == 0:
            return False
        if self.save_top_k == -1 or len(self.best_k_models) < self.save_top_k:
            return True
        kth = float(self.best_k_models[self.kth_best_model_path])
        return float(current) < kth if self.mode == "min" else float(current) > kth

    def _plan_last(self, candidates: dict[str, Any]) -> str:
        """Note the path of ``last.ckpt``; returns the one that it replaces."""
        if not self.save_last:
            return ""
        previous = self.last_model_path
        self.last_model_path = self.format_checkpoint_name(candidates, self.CHECKPOINT_NAME_LAST)
        return previous

    def _save_last(self, trainer: Trainer, saved: str, previous: str) -> str:
        if not self.save_last:
            return ""
        last = self.last_model_path
        if trainer.is_global_zero and self.enable_version_counter and last != previous:
            self._set_aside(trainer, last)
        if not saved or (saved != last and trainer.checkpoint_io is not None):  # where it saves, nothing can be linked
            trainer.save_checkpoint(last, self.save_weights_only)
        elif saved != last:
            trainer.strategy.on_rank_zero(lambda: link_file(saved, last, symbolic=self.save_last == "link"))
        return last

    def _set_aside(self, trainer: Trainer, last: str) -> None:
        """Keep the ``last`` of another run, which the first save of this one would replace."""
        if os.path.lexists(last) and not _same_file(last, trainer.ckpt_path):
            Path(last).rename(self._free_name(last))

    def _remove(self, trainer: Trainer, path: str) -> None:
        inside = self.dirpath is not None and Path(self.dirpath) in Path(path).parents
        if trainer.is_global_zero and inside and not _same_file(path, trainer.ckpt_path):
            io = trainer.checkpoint_io
            with contextlib.suppress(FileNotFoundError):
                Path(path).unlink() if io is None else io.remove_checkpoint(path)

    def _tell(self, trainer: Trainer, path: str, reason: str) -> None:
        if self.verbose:
            _log.info("Step %d: saved %s", trainer.global_step, path)
        best = self.monitor is not None and path == self.best_model_path
        trainer.emit(CheckpointSaved(time.time(), trainer.global_step, trainer.current_epoch, path, reason, best))
        for logger in trainer.loggers if trainer.is_global_zero else ():
            trainer.observation.ask(logger, logger.after_save_checkpoint, self)

    # Names ------------------------------------------------------------------------------------------------------

    def format_checkpoint_name(
        self, metrics: dict[str, Any], filename: str | None = None, ver: int | None = None, prefix: str | None = None
    ) -> str:
        """The path for a checkpoint with these ``metrics`` (relative before the folder is known).

        Args:
            metrics: numbers and tensors by name, ``epoch`` and ``step`` among them.
            filename: a template instead of the callback's own.
            ver: a version to append as ``-v<ver>``.
            prefix: put before the name.
        """
        join = self.CHECKPOINT_JOIN_CHAR
        template = filename or self.filename or f"{{epoch}}{join}{{step}}"
        name = fill_template(template, metrics, self.CHECKPOINT_EQUALS_CHAR, self.auto_insert_metric_name)
        if prefix:
            name = f"{prefix}{join}{name}"
        if ver is not None:
            name = f"{name}{join}v{ver}"
        name += self.FILE_EXTENSION
        return str(Path(self.dirpath) / name) if self.dirpath else name

    def _free_name(self, path: str, own: str = "") -> str:
        if not self.enable_version_counter:
            return path
        stem, version = path.removesuffix(self.FILE_EXTENSION), self.STARTING_VERSION
        while os.path.lexists(path) and path != own:
            path = f"{stem}{self.CHECKPOINT_JOIN_CHAR}v{version}{self.FILE_EXTENSION}"
            version += 1
        return path

    def _candidates(self, trainer: Trainer) -> dict[str, Any]:
        metrics = {name: torch.as_tensor(value).detach().cpu() for name, value in trainer.callback_metrics.items()}
        found = {**metrics, "epoch": trainer.current_epoch, "step": trainer.global_step}
        return trainer.strategy.broadcast(found)  # rank 0's values decide on all ranks

    def _as_rank_zero(self, trainer: Trainer, *decided: Any) -> Any:
        """What rank 0 has decided, with what it has noted, for only it sees which files there are."""
        noted, decided = trainer.strategy.broadcast((self.state_dict(), decided))
        for name, value in noted.items() if trainer.world_size > 1 else ():
            setattr(self, name, value)
        return decided

    def _default_folder(self, trainer: Trainer) -> str:
        if not trainer.loggers:
            return os.path.realpath(Path(trainer.default_root_dir) / "checkpoints")
        logger = trainer.loggers[0]
        root = Path(logger.save_dir or trainer.default_root_dir)
        version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
        return os.path.realpath(root / str(logger.name or "") / version / "checkpoints")

    def _find_last_checkpoints(self, trainer: Trainer) -> set[str]:
        """The ``last`` files in this callback's folder, for ``ckpt_path="last"``."""
        folder = Path(self.dirpath or self._default_folder(trainer))
        version = f"{self.CHECKPOINT_JOIN_CHAR}v"
        return {
            str(file)
            for file in folder.glob(f"*{self.FILE_EXTENSION}")
            if file.is_file()
            and matches_template(file.name.removesuffix(self.FILE_EXTENSION), self.CHECKPOINT_NAME_LAST, version)
        }

    def to_yaml(self, filepath: str | Path | None = None) -> None:
        """Write :attr:`best_k_models` as YAML, by default to ``best_k_models.yaml`` in the folder."""
        import yaml

        scores = {path: float(score) for path, score in self.best_k_models.items()}
        target = Path(filepath) if filepath is not None else Path(self.dirpath or ".") / "best_k_models.yaml"
        target.write_text(yaml.safe_dump(scores), encoding="utf-8")


def _folder(dirpath: str | Path) -> str:
    # By hand, for pathlib drops the "./" of "./~/checkpoints", which is a folder called "~".
    given = os.fspath(dirpath)
    return given if "://" in given else os.path.realpath(os.path.expanduser(given))  # noqa: PTH111


def _same_file(path: str, other: Any) -> bool:
    return bool(other) and os.path.realpath(path) == os.path.realpath(str(other))
