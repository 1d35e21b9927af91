"""What can be asked of a trainer while it runs and afterwards: Lightning's names over our own parts.

It must not change anything, apart from reading what was logged when somebody asks for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lit_studio.base.runs import COMMANDS
from lit_studio.trainer.bounds import estimate_steps
from lit_studio.trainer.loop import noticed
from lit_studio.trainer.optimization import LRSchedulerConfig
from lit_studio.trainer.samplers import Sharing
from lit_studio.trainer.state import RunningStage

if TYPE_CHECKING:
    from lit_studio.callbacks import Callback, Checkpoint, EarlyStopping
    from lit_studio.callbacks.progress import ProgressBar
    from lit_studio.media.board import Board
    from lit_studio.trainer.accelerators import Accelerator
    from lit_studio.trainer.evaluation import EvaluationLoop
    from lit_studio.trainer.loop import FitLoop
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.placement import Placement
    from lit_studio.trainer.plan import Plan
    from lit_studio.trainer.precision import Precision
    from lit_studio.trainer.ranks import Ranks
    from lit_studio.trainer.results import Results
    from lit_studio.trainer.state import TrainerState
    from lit_studio.trainer.strategies import Strategy


_OUTSIDE_FIT = ("pause", "resume", "stop", "abort")


class Placed:
    """Answers what integrations ask of Lightning's inside for want of a public name: optuna's, for instance."""

    def __init__(self, strategy: Strategy):
        self.strategy = strategy

    @property
    def is_distributed(self) -> bool:
        """Whether several processes train, or the strategy is made for that."""
        return self.strategy.world_size > 1 or self.strategy.synchronizes_backward


class Inquiry:
    """The read-only half of a :class:`~lit_studio.trainer.trainer.Trainer`."""

    plan: Plan
    state: TrainerState
    results: Results
    strategy: Strategy
    accelerator: Accelerator
    precision_plugin: Precision
    fit_loop: FitLoop
    validation: EvaluationLoop
    testing_loop: EvaluationLoop
    prediction: EvaluationLoop
    callbacks: list[Callback]
    num_sanity_val_steps: int | float
    accumulate_grad_batches = noticed("accumulate_grad_batches", "Micro-batches of one optimizer step.")
    should_stop = noticed("should_stop", "Set it to end the fit at the next step boundary.")
    validation_asked = noticed("validation_asked", "Set it to validate after the present step, besides what is due.")
    epoch_over: str | None
    source: Any
    received_sigterm: bool = False  # whether the process was asked to end during the last call
    ranks: Ranks | None = None
    _loggers: list[Any]
    _module: LightningModule | None
    placement: Placement
    observation: Any
    enable_validation: Any

    # Where it stands --------------------------------------------------------------------------------------------

    @property
    def current_epoch(self) -> int:
        """Epochs completed, so the number of the one that runs, from 0."""
        return self.fit_loop.position.epoch

    @property
    def global_step(self) -> int:
        """Optimizer steps done, over all epochs; with several optimizers all of theirs."""
        return self.fit_loop.position.optimizer_steps

    @property
    def is_last_batch(self) -> bool:
        """Whether the batch that runs is the epoch's last."""
        return self.fit_loop.position.is_last_batch

    @property
    def stage_word(self) -> Any:
        """The stage as events call it: ``train``, ``validate``, ``test``, ``predict`` or ``sanity_check``."""
        return self.state.stage.value if self.state.stage is not None else "train"

    @property
    def training(self) -> bool:
        """Whether it trains at this moment, not validating."""
        return self.state.stage == RunningStage.TRAINING

    @property
    def validating(self) -> bool:
        """Whether it validates at this moment, inside a fit or not."""
        return self.state.stage == RunningStage.VALIDATING

    @property
    def testing(self) -> bool:
        """Whether it tests."""
        return self.state.stage == RunningStage.TESTING

    @property
    def predicting(self) -> bool:
        """Whether it predicts."""
        return self.state.stage == RunningStage.PREDICTING

    @property
    def sanity_checking(self) -> bool:
        """Whether it tries a few validation batches at the start of a fit."""
        return self.state.stage == RunningStage.SANITY_CHECKING

    @property
    def evaluating(self) -> bool:
        """Whether it validates or tests."""
        return self.state.stage is not None and self.state.stage.evaluating

    # Metrics ----------------------------------------------------------------------------------------------------

    def _read_metrics(self) -> None:
        self.results.refresh(self.epoch_over)

    @property
    def callback_metrics(self) -> dict[str, Tensor]:
        """Everything logged, for callbacks: tensors on the host. Asking reads what is pending from the device."""
        self._read_metrics()
        return self.results.callback_metrics

    @property
    def logged_metrics(self) -> dict[str, Tensor]:
        """What loggers get."""
        self._read_metrics()
        return self.results.logged_metrics

    @property
    def progress_bar_metrics(self) -> dict[str, float]:
        """What was logged with ``prog_bar=True``."""
        self._read_metrics()
        return self.results.progress_bar_metrics

    # Bounds and batches -----------------------------------------------------------------------------------------

    @property
    def max_epochs(self) -> int | None:
        """The fit ends after so many epochs; None before a fit that sets none."""
        return self.fit_loop.max_epochs

    @property
    def min_epochs(self) -> int:
        """A fit isn't stopped before so many epochs."""
        return self.fit_loop.min_epochs

    @property
    def max_steps(self) -> int:
        """The fit ends after so many optimizer steps; −1 for no bound."""
        return self.fit_loop.max_steps

    @property
    def min_steps(self) -> int | None:
        """A fit isn't stopped before so many optimizer steps."""
        return self.fit_loop.min_steps

    @property
    def num_training_batches(self) -> int | float:
        """Batches of a training epoch; ``inf`` before the loader is asked for and where it has no length."""
        return self.fit_loop.max_batches

    @property
    def num_val_batches(self) -> list[int | float]:
        """Batches of each validation loader."""
        return self.validation.counts

    @property
    def num_sanity_val_batches(self) -> list[int | float]:
        """Batches of each validation loader in the sanity check."""
        return self.validation.sanity_counts

    @property
    def num_test_batches(self) -> list[int | float]:
        """Batches of each test loader."""
        return self.testing_loop.counts

    @property
    def num_predict_batches(self) -> list[int | float]:
        """Batches of each loader to predict."""
        return self.prediction.counts

    @property
    def batches_now(self) -> float:
        """Batches of the pass that runs."""
        return self.num_training_batches if self.training else self.evaluation_now.total

    @property
    def evaluation_now(self) -> EvaluationLoop:
        """The loop of the evaluation that runs, or of validation."""
        return self.testing_loop if self.testing else self.prediction if self.predicting else self.validation

    @property
    def validate_loop(self) -> EvaluationLoop:
        """The loop of validation, a fit's too."""
        return self.validation

    @property
    def test_loop(self) -> EvaluationLoop:
        """The loop of testing."""
        return self.testing_loop

    @property
    def predict_loop(self) -> EvaluationLoop:
        """The loop of prediction."""
        return self.prediction

    @property
    def val_check_batch(self) -> float:
        """Training batches between validations; ``inf`` for the end of the epoch only."""
        return self.fit_loop.val_check_batch

    @property
    def estimated_stepping_batches(self) -> int | float:
        """Optimizer steps of the whole fit, for schedulers; asks for the training loader if need be.

        ``inf`` if nothing bounds the fit; −1 if only ``max_epochs`` does and the loader has no length.
        """
        self.fit_loop.setup_data()
        return estimate_steps(self.fit_loop, self.accumulate_grad_batches)

    @property
    def train_dataloader(self) -> Any:
        """What was given as training loader."""
        return self.fit_loop.loaders.given if self.fit_loop.loaders is not None else None

    @property
    def val_dataloaders(self) -> Any:
        """What was given as validation loaders."""
        return _given(self.validation)

    @property
    def test_dataloaders(self) -> Any:
        """What was given as test loaders."""
        return _given(self.testing_loop)

    @property
    def predict_dataloaders(self) -> Any:
        """What was given as loaders to predict."""
        return _given(self.prediction)

    # Parts ------------------------------------------------------------------------------------------------------

    @property
    def lightning_module(self) -> LightningModule:
        """The module of the present or last call; None before the first."""
        return self._module  # type: ignore[return-value]  # whoever asks within a call needs no check

    @property
    def model(self) -> torch.nn.Module | None:
        """The module as the strategy has wrapped it; the module itself on one device."""
        return self.strategy.model if self.strategy.model is not None else self._module

    @property
    def lr_scheduler_configs(self) -> list[LRSchedulerConfig]:
        """The schedulers with their settings."""
        return self.fit_loop.optimization.schedulers

    @property
    def checkpoint_callbacks(self) -> list[Checkpoint]:
        """The callbacks that write checkpoints."""
        from lit_studio.callbacks import Checkpoint

        return [one for one in self.callbacks if isinstance(one, Checkpoint)]

    @property
    def checkpoint_callback(self) -> Checkpoint | None:
        """The first of them."""
        return next(iter(self.checkpoint_callbacks), None)

    @property
    def early_stopping_callbacks(self) -> list[EarlyStopping]:
        """The callbacks that stop a fit whose metric no longer gets better."""
        from lit_studio.callbacks import EarlyStopping

        return [one for one in self.callbacks if isinstance(one, EarlyStopping)]

    @property
    def early_stopping_callback(self) -> EarlyStopping | None:
        """The first of them."""
        return next(iter(self.early_stopping_callbacks), None)

    @property
    def progress_bar_callback(self) -> ProgressBar | None:
        """The progress bar, None without one."""
        from lit_studio.callbacks.progress import ProgressBar

        return next((one for one in self.callbacks if isinstance(one, ProgressBar)), None)

    @property
    def enable_autolog_hparams(self) -> bool:
        """Whether loggers get the hyper-parameters."""
        return self.plan.enable_autolog_hparams

    @property
    def understood(self) -> tuple[str, ...]:
        """Names of the commands that the call that runs, or is about to, can carry out: those of the dashboard."""
        if self.state.fn != "fit":
            return tuple(name for name in COMMANDS if name in _OUTSIDE_FIT)
        return tuple(name for name in COMMANDS if name != "validate" or self.enable_validation)

    @property
    def media(self) -> Board:
        """Where callbacks show pictures, tables and the like of the run; stores nothing where there is no record."""
        from lit_studio.media.board import board_of

        return board_of(self.observation.run)

    # Places -----------------------------------------------------------------------------------------------------

    @property
    def default_root_dir(self) -> str:
        """Where logs and checkpoints go without a logger."""
        return self.plan.default_root_dir

    @property
    def log_dir(self) -> str:
        """The run's directory: the first logger's, or :attr:`default_root_dir`."""
        if not self._loggers:
            return self.default_root_dir
        logger = self._loggers[0]
        return logger.log_dir or logger.save_dir or self.default_root_dir

    @property
    def checkpoint_folder(self) -> Path:
        """Where a person's checkpoints go when no checkpoint callback says."""
        return Path(self.log_dir) / "checkpoints"

    # Devices ----------------------------------------------------------------------------------------------------

    @property
    def precision(self) -> str:
        """The numerics, for instance ``"32-true"``."""
        return self.precision_plugin.precision

    @property
    def _accelerator_connector(self) -> Placed:
        return Placed(self.strategy)

    @property
    def scaler(self) -> Any:
        """The gradient scaler of ``"16-mixed"``, None otherwise."""
        return self.precision_plugin.scaler

    @property
    def device_ids(self) -> list[int]:
        """The indices of this node's devices."""
        return self.placement.device_ids

    @property
    def num_devices(self) -> int:
        """Devices on this node."""
        return len(self.placement.device_ids)

    @property
    def num_nodes(self) -> int:
        """Nodes."""
        return self.placement.num_nodes

    @property
    def world_size(self) -> int:
        """Processes."""
        return self.strategy.world_size

    @property
    def global_rank(self) -> int:
        """This process among all."""
        return self.strategy.global_rank

    @property
    def local_rank(self) -> int:
        """This process on its node."""
        return self.strategy.local_rank

    @property
    def node_rank(self) -> int:
        """This node among all."""
        return self.strategy.node_rank

    @property
    def is_global_zero(self) -> bool:
        """Whether this process is the one that writes."""
        return self.strategy.is_global_zero

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any] | None:
        """For a DistributedSampler; None on one device."""
        size = self.strategy.world_size
        return {"num_replicas": size, "rank": self.strategy.global_rank} if size > 1 else None

    @property
    def sharing(self) -> Sharing:
        """How loaders are shared among the ranks."""
        return Sharing(self.strategy, self.plan.use_distributed_sampler)


def _given(loop: EvaluationLoop) -> Any:
    return loop.loaders.given if loop.loaders is not None else None
