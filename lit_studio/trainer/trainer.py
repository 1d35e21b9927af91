"""The Trainer: its arguments, its calls, and what callbacks and modules may ask it to do.

It must not know Jupyter, nor how a loop goes round: it holds the parts and hands a call to :mod:`execution`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
from torch.optim import Optimizer

from lit_studio.base.errors import MisconfigurationException, MissingAttributeError
from lit_studio.base.events import Event, Observer
from lit_studio.base.runs import Mailbox
from lit_studio.base.settings import resolve
from lit_studio.callbacks import Callback
from lit_studio.loggers import Logger
from lit_studio.profilers import PassThroughProfiler, Profiler, resolve_profiler
from lit_studio.steering.controls import Controls
from lit_studio.trainer import execution
from lit_studio.trainer.accelerators import Accelerator
from lit_studio.trainer.argument_defaults import with_defaults_from_environment
from lit_studio.trainer.attachments import resolve_callbacks, resolve_loggers
from lit_studio.trainer.batches import count_samples
from lit_studio.trainer.compiling import Compilation
from lit_studio.trainer.datamodule import LightningDataModule
from lit_studio.trainer.dispatch import Dispatcher
from lit_studio.trainer.display import make_audible
from lit_studio.trainer.evaluation import EvaluationLoop, check_return_predictions
from lit_studio.trainer.inquiry import Inquiry
from lit_studio.trainer.loop import FitLoop
from lit_studio.trainer.module import LightningModule
from lit_studio.trainer.observation import Observation
from lit_studio.trainer.placement import ARGUMENTS, resolve_placement
from lit_studio.trainer.plan import make_plan
from lit_studio.trainer.plugins import PluginInput
from lit_studio.trainer.precision import PrecisionInput
from lit_studio.trainer.rehearsal import Rehearsal, rehearse
from lit_studio.trainer.results import Results
from lit_studio.trainer.resume import gather
from lit_studio.trainer.state import RunningStage, TrainerFn, TrainerState
from lit_studio.trainer.strategies import Strategy


class Trainer(Controls, Inquiry):
    """Trains, validates, tests and predicts with a LightningModule; all arguments are Lightning's, by keyword.

    Args:
        accelerator: ``"auto"``, ``"cpu"``, ``"gpu"``, ``"cuda"`` or ``"mps"``.
        strategy: ``"auto"``, ``"ddp"``, ``"ddp_spawn"``, ``"ddp_fork"``, ``"ddp_notebook"``, a plugin's, or a Strategy.
        devices: a count, a list of indices, −1 for all, or ``"auto"``; on the CPU a count of processes.
        num_nodes: nodes, each with as many devices; their processes are started by torchrun, srun or the like.
        precision: ``"32-true"`` (default), ``"16-mixed"``, ``"bf16-mixed"``, ``"64-true"``, ``"bf16-true"``,
            ``"16-true"``.
        logger: True (default) writes ``metrics.csv`` and, if installed, TensorBoard's files to
            ``lightning_logs/version_N``; False none; or loggers.
        callbacks: one or several, besides the default ones.
        fast_dev_run: run so many batches (True: 1) of everything, without loggers and checkpoints.
        max_epochs: how many epochs a fit has at most; 1000 if nothing bounds it, −1 for no bound.
        min_epochs: how many it has at least.
        max_steps: how many optimizer steps it has at most; −1 for no bound.
        min_steps: how many it has at least.
        max_time: its bound in time: ``"DD:HH:MM:SS"``, a timedelta or a dict of its arguments.
        limit_train_batches: training batches (int) or a share (float) of each epoch; all by default.
        limit_val_batches: likewise for validation.
        limit_test_batches: likewise for tests.
        limit_predict_batches: likewise for predictions.
        overfit_batches: the same for training and validation together, without shuffling; 0.0 is off.
        val_check_interval: validate after so many batches (int), a share of the epoch (float, default 1.0), or a time.
        check_val_every_n_epoch: validate every so many epochs; None counts ``val_check_interval`` across epochs.
        num_sanity_val_steps: validation batches to try before training (default 2, −1 all).
        log_every_n_steps: loggers get the steps' values every so many steps (default 50); the run's record and the
            live view get all of them.
        enable_checkpointing: whether there is a default ModelCheckpoint (default True).
        enable_progress_bar: whether there is a bar, or in a notebook the live view (default True).
        enable_model_summary: whether the model is told in a table before a fit (default True).
        accumulate_grad_batches: micro-batches of one optimizer step.
        gradient_clip_val: the norm, or value, that gradients are clipped to; None leaves them.
        gradient_clip_algorithm: ``"norm"`` (default) or ``"value"``.
        deterministic: True lets torch use deterministic algorithms only, ``"warn"`` warns of others.
        benchmark: cuDNN's benchmark mode.
        inference_mode: evaluate under ``torch.inference_mode`` rather than ``no_grad``; a fit's validation never does.
        use_distributed_sampler: whether each of several ranks gets a share of the samples of its own.
        profiler: ``"simple"``, ``"advanced"``, ``"pytorch"`` or a Profiler.
        detect_anomaly: find the operation that made a NaN; slow.
        barebones: everything off that costs time, the run's record too.
        plugins: a Precision or an object that saves and loads checkpoints.
        sync_batchnorm: whether batch norms see the batches of all ranks; needs GPUs.
        reload_dataloaders_every_n_epochs: ask for the loaders anew every so many epochs; 0 is off.
        default_root_dir: where logs and checkpoints go; the current directory by default.
        enable_autolog_hparams: whether loggers get the hyper-parameters.
        model_registry: must be None.
        observers: more of those who watch the run; ours, not Lightning's, like the two that follow.
        compile: compile the module for the time of a call: True, a mode or a dict of ``torch.compile``'s keywords;
            blocks that repeat are compiled one by one.
        capture_step: on CUDA, record a whole training step as a CUDA graph and replay it. Python in ``training_step``
            then runs only while recording. Where it can't be, a warning says why.

    Attributes:
        should_stop: set it to end the fit at the next step boundary.
        state: the call, its status and its stage.

    Raises:
        MisconfigurationException, InvalidValueError, InvalidTypeError: arguments that are wrong by themselves or
            together, or that need what this version doesn't have.
    """

    @with_defaults_from_environment
    def __init__(
        self,
        *,
        accelerator: str | Accelerator = "auto",
        strategy: str | Strategy = "auto",
        devices: list[int] | str | int = "auto",
        num_nodes: int = 1,
        precision: PrecisionInput = None,
        logger: Logger | Iterable[Logger] | bool | None = None,
        callbacks: Sequence[Callback] | Callback | None = None,
        fast_dev_run: int | bool = False,
        max_epochs: int | None = None,
        min_epochs: int | None = None,
        max_steps: int = -1,
        min_steps: int | None = None,
        max_time: str | timedelta | dict[str, int] | None = None,
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        limit_predict_batches: int | float | None = None,
        overfit_batches: int | float = 0.0,
        val_check_interval: int | float | str | timedelta | dict[str, int] | None = None,
        check_val_every_n_epoch: int | None = 1,
        num_sanity_val_steps: int | None = None,
        log_every_n_steps: int | None = None,
        enable_checkpointing: bool | None = None,
        enable_progress_bar: bool | None = None,
        enable_model_summary: bool | None = None,
        accumulate_grad_batches: int = 1,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
        deterministic: bool | Literal["warn"] | None = None,
        benchmark: bool | None = None,
        inference_mode: bool = True,
        use_distributed_sampler: bool = True,
        profiler: Profiler | str | None = None,
        detect_anomaly: bool = False,
        barebones: bool = False,
        plugins: PluginInput = None,
        sync_batchnorm: bool = False,
        reload_dataloaders_every_n_epochs: int = 0,
        default_root_dir: str | Path | None = None,
        enable_autolog_hparams: bool = True,
        model_registry: str | None = None,
        observers: Sequence[Observer] | None = None,
        compile: bool | str | dict[str, Any] | None = None,
        capture_step: bool = False,
    ):
        given = {name: value for name, value in locals().items() if name != "self"}
        make_audible()
        self.plan, self.fast_dev_run = make_plan(given), fast_dev_run
        self._place(given)
        self._loggers = resolve_loggers(logger, self.plan)
        self.callbacks = resolve_callbacks(
            callbacks, self.plan, enable_checkpointing, enable_progress_bar, enable_model_summary
        )
        self.observers = list(observers or ())
        self.profiler = resolve_profiler(profiler) or PassThroughProfiler()
        self.wants_display = enable_progress_bar is not False and self._may_display(callbacks)
        self._set_attributes()

    def _may_display(self, callbacks: Any) -> bool:
        """A bar of the user's draws instead of us; a default one gives way to whoever displays."""
        bar, given = self.progress_bar_callback, callbacks if isinstance(callbacks, Sequence) else [callbacks]
        return (bar is None or bar not in given) and resolve("mode").value != "off"

    def _place(self, given: dict[str, Any]) -> None:
        if given["model_registry"] is not None:
            raise MisconfigurationException(
                "model_registry names a hosted product, which Lit Studio doesn't talk to", value=given["model_registry"]
            )
        placed = self.placement = resolve_placement(**{name: given[name] for name in ARGUMENTS})
        self.accelerator, self.strategy, self.device_name = placed.accelerator, placed.strategy, placed.device_name
        self.checkpoint_io, self.precision_plugin = placed.checkpoint_io, placed.precision
        self.strategy.sync_batchnorm = self.plan.sync_batchnorm

    def _set_attributes(self) -> None:
        plan = self.plan
        self.barebones = plan.barebones
        self.limit_train_batches, self.limit_val_batches = plan.limit_train_batches, plan.limit_val_batches
        self.limit_test_batches, self.limit_predict_batches = plan.limit_test_batches, plan.limit_predict_batches
        self.overfit_batches, self.num_sanity_val_steps = plan.overfit_batches, plan.num_sanity_val_steps
        self.val_check_interval, self.check_val_every_n_epoch = plan.val_check_interval, plan.check_val_every_n_epoch
        self.log_every_n_steps, self.accumulate_grad_batches = plan.log_every_n_steps, plan.accumulate_grad_batches
        self.gradient_clip_val, self.gradient_clip_algorithm = plan.gradient_clip_val, plan.gradient_clip_algorithm
        self.reload_dataloaders_every_n_epochs = plan.reload_dataloaders_every_n_epochs
        self.profiles = not isinstance(self.profiler, PassThroughProfiler)
        self.state = TrainerState()
        self.should_stop = self.stopped_by_person = self.validation_asked = False
        self.mailbox = Mailbox()
        self.epoch_over: str | None = None
        self.ckpt_path: Any = None
        self.datamodule: LightningDataModule | None = None
        self._module: LightningModule | None = None
        self.source: Any = None
        self.count_samples = count_samples
        self.fit_loop = FitLoop(self)
        self.results = Results(self.fit_loop.position)
        self.hooks = Dispatcher(self, None, (), self.results)
        self.validation = EvaluationLoop(self, "validate")
        self.testing_loop = EvaluationLoop(self, "test")
        self.prediction = EvaluationLoop(self, "predict")
        self.observation = Observation(self)
        self.compilation = Compilation(plan.compile)
        if plan.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to be deterministic
            torch.use_deterministic_algorithms(True, warn_only=plan.deterministic == "warn")
        if plan.benchmark is not None or plan.deterministic:
            torch.backends.cudnn.benchmark = bool(plan.benchmark) and not plan.deterministic

    # Calls ------------------------------------------------------------------------------------------------------

    def fit(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train ``model``.

        Args:
            model: the module; trained in place.
            train_dataloaders: a loader or a collection of loaders, or a datamodule.
            val_dataloaders: a loader or a list of loaders.
            datamodule: instead of loaders.
            ckpt_path: a checkpoint to go on from: a path, ``"last"`` or ``"best"``.
            weights_only: as in ``torch.load``; None leaves torch's safe default.

        Raises:
            MisconfigurationException: a step or a loader is missing, or there are too many.
            SystemExit: ^C in a script; in a notebook the call returns.
        """
        self.should_stop = False
        self._call(
            TrainerFn.FITTING, model, train_dataloaders, datamodule, ckpt_path, weights_only, {"val": val_dataloaders}
        )

    def validate(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """One pass over the validation data.

        Args:
            model: the module; the one of the last call if None.
            dataloaders: a loader, a list of loaders, or a datamodule.
            ckpt_path: weights to use: a path, ``"last"`` or ``"best"``; None takes ``model`` as it is, and without
                ``model`` the best checkpoint of the last fit, if there is one.
            verbose: whether to print the results.
            datamodule: instead of loaders.
            weights_only: as in ``torch.load``.

        Returns:
            The metrics, a dict for each loader.
        """
        return self._call(
            TrainerFn.VALIDATING, model, dataloaders, datamodule, ckpt_path, weights_only, verbose=verbose
        )

    def test(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
    ) -> list[dict[str, float]]:
        """One pass over the test data; arguments and result as for :meth:`validate`."""
        return self._call(TrainerFn.TESTING, model, dataloaders, datamodule, ckpt_path, weights_only, verbose=verbose)

    def predict(
        self,
        model: LightningModule | None = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        return_predictions: bool | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> list[Any]:
        """Call ``predict_step`` on every batch.

        Args:
            model: the module; the one of the last call if None.
            dataloaders: a loader, a list of loaders, or a datamodule.
            datamodule: instead of loaders.
            return_predictions: whether to keep and return them (default True).
            ckpt_path: weights to use.
            weights_only: as in ``torch.load``.

        Returns:
            A list of batches' outputs, or a list of such lists for several loaders; None if they aren't kept.
        """
        self.prediction.return_predictions = check_return_predictions(return_predictions)
        return self._call(TrainerFn.PREDICTING, model, dataloaders, datamodule, ckpt_path, weights_only)

    def _call(
        self,
        fn: TrainerFn,
        model: Any,
        loaders: Any,
        datamodule: Any,
        ckpt_path: Any,
        weights_only: bool | None,
        more: dict[str, Any] | None = None,
        verbose: bool = False,
    ) -> Any:
        if isinstance(loaders, LightningDataModule):  # a datamodule in the place of loaders, as Lightning allows
            datamodule, loaders = loaders, None
        call = execution.Call(fn, model, loaders, datamodule, ckpt_path, weights_only, more or {}, verbose)
        launcher = self.strategy.launcher
        if launcher is not None:
            return launcher.launch(execution.carry_out, self, call, trainer=self)
        return execution.carry_out(self, call)

    # What callbacks, modules and people may do -------------------------------------------------------------------

    def save_checkpoint(
        self, filepath: str | Path, weights_only: bool | None = None, storage_options: Any = None
    ) -> None:
        """Write a checkpoint of this moment.

        Args:
            filepath: the file, replaced if it exists.
            weights_only: leave out optimizers, schedulers and callbacks.
            storage_options: for a checkpoint plugin that takes some.

        Raises:
            MissingAttributeError: there is no module yet.
            InvalidTypeError: ``storage_options`` without such a plugin.
            CheckpointError: it could not be written.
        """
        if self._module is None:
            raise MissingAttributeError(
                "Saving a checkpoint is only possible if a model is attached to the Trainer",
                advice="Call fit, validate, test or predict first.",
            )
        self.placement.write_checkpoint(gather(self, bool(weights_only)), filepath, storage_options)

    def rehearsal(self, callbacks: Sequence[Callback] = ()) -> AbstractContextManager[Rehearsal]:
        """Run the loop inside a hook and put everything back: see ``rehearsal.rehearse``."""
        return rehearse(self, callbacks)

    def emit(self, event: Event) -> None:
        """Tell those who watch the run; nobody does outside a call."""
        self.observation.emit(event)

    def enter(self, stage: RunningStage) -> None:
        """Note what runs from now on."""
        self.state.stage = stage

    @property
    def enable_validation(self) -> bool:
        """Whether a fit validates: there is a step and data for it, and no limit of 0."""
        if self.source is None or self._module is None:
            return True
        return execution.validates(self)

    @property
    def logger(self) -> Any:
        """The first logger, None without one."""
        return self._loggers[0] if self._loggers else None

    @logger.setter
    def logger(self, logger: Any) -> None:
        self._loggers = [] if logger is None else [logger]

    @property
    def loggers(self) -> list[Any]:
        """All loggers."""
        return self._loggers

    @loggers.setter
    def loggers(self, loggers: list[Any] | None) -> None:
        self._loggers = list(loggers or [])

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers as the module gave them."""
        return self.fit_loop.optimization.optimizers

    @optimizers.setter
    def optimizers(self, optimizers: list[Optimizer]) -> None:
        self.fit_loop.optimization.optimizers = list(optimizers)
        self.fit_loop.optimization.wrap(self)

    @contextmanager
    def init_module(self, empty_init: bool | None = None) -> Iterator[None]:
        """Build a module inside: its weights are made on the device and in the precision at once.

        Args:
            empty_init: accepted; weights are initialized as the module says.
        """
        with self.strategy.root_device, self.precision_plugin.module_init_context():
            yield

    def print(self, *args: Any, **kwargs: Any) -> None:
        """``print`` on rank 0 only."""
        if self.is_global_zero:
            print(*args, **kwargs)  # noqa: T201 - that is what it is for

    def profiled(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, measured under ``name`` if there is a profiler."""
        profiler = self.profiler
        if not self.profiles:
            return function

        def measured(*args: Any, **kwargs: Any) -> Any:
            profiler.start(name)
            try:
                return function(*args, **kwargs)
            finally:
                profiler.stop(name)

        return measured
