"""The fit: epochs, batches, and the one training step that everything else is arranged around.

It must not know screens, files or where a run's record lies: it tells :mod:`observation` that time has passed.

One step, in order (hooks that nobody overrides are not called)::

    batch from the loader → device
    on_train_batch_start                        −1 skips the rest of the epoch
    optimizer_step                              only for the last micro-batch of an accumulation
        training_step
        on_before_zero_grad, zero_grad          only for the first micro-batch
        on_before_backward, backward, on_after_backward
        on_before_optimizer_step, clipping
        the optimizer's own step
    schedulers (interval "step"; at the epoch's last batch "epoch")
    on_train_batch_end
    validation, if it is due
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import Optimizer

from lit_studio.base.errors import InvalidValueError, MisconfigurationException
from lit_studio.base.events import EpochEnded
from lit_studio.trainer.bounds import INFINITE
from lit_studio.trainer.combined_loader import CombinedLoader
from lit_studio.trainer.data import Loaders, LookAhead, fixed_batch_size, length, set_epoch, training_loaders
from lit_studio.trainer.optimization import LRSchedulerConfig, Optimization, Schedulers
from lit_studio.trainer.prefetch import batches_ahead
from lit_studio.trainer.progress_views import ProgressViews
from lit_studio.trainer.state import ALL, Position, RunningStage
from lit_studio.trainer.step import TrainingStep
from lit_studio.trainer.stretch import Stretch
from lit_studio.trainer.warning_kinds import PossibleUserWarning

if TYPE_CHECKING:
    from lit_studio.trainer.trainer import Trainer

_log = logging.getLogger("lit_studio")


class FitLoop(ProgressViews):
    """One trainer's fit. It lives as long as the trainer, so a second ``fit`` goes on where the first ended.

    Attributes:
        position: where the fit stands.
        optimization: the optimizers and schedulers of the present fit.
        max_epochs, min_epochs, max_steps, min_steps: the bounds; −1 or None for none. May be raised between fits.
        loaders: training's, None before they are asked for.
        val_check_batch: validate after so many batches; ``inf`` for the end of the epoch only.
        samples: samples seen by this fit.
        data_wait: seconds spent waiting for the loader by this fit.
    """

    def __init__(self, trainer: Trainer):
        plan = trainer.plan
        self._trainer = trainer
        self.position = Position()
        self.optimization = Optimization()
        self.max_epochs, self.min_epochs = plan.max_epochs, plan.min_epochs
        self.max_steps, self.min_steps = plan.max_steps, plan.min_steps
        self.loaders: Loaders | None = None
        self.val_check_batch: float = INFINITE
        self.samples, self.data_wait = 0, 0.0
        self._explained = False
        self._last_validation = 0.0
        self._loaded_at = 0

    # Bounds -----------------------------------------------------------------------------------------------------

    @property
    def max_batches(self) -> float:
        """Batches of an epoch."""
        return self.loaders.counts[0] if self.loaders is not None else INFINITE

    def settle_bounds(self) -> None:
        """Without any bound a fit ends after 1000 epochs, with a note."""
        if self.max_epochs is None:
            if self.max_steps == -1 and self._trainer.plan.max_time is None:
                _log.info(
                    "`max_epochs` was not set. Setting it to 1000 epochs. To train without an epoch limit, set "
                    "`max_epochs=-1`."
                )
                self.max_epochs = 1000
            else:
                self.max_epochs = -1

    def _done(self) -> bool:
        position = self.position
        if self._trainer.ranks is not None:
            self._trainer.ranks.settle()
        if self.max_steps != -1 and position.optimizer_steps >= self.max_steps:
            _log.info("`Trainer.fit` stopped: `max_steps=%d` reached.", self.max_steps)
            return True
        if self.max_epochs not in (None, -1) and position.epoch >= self.max_epochs:
            _log.info("`Trainer.fit` stopped: `max_epochs=%s` reached.", self.max_epochs)
            return True
        if self._trainer.should_stop:
            if self._may_stop():
                _log.info("`Trainer.fit` stopped: `trainer.should_stop` was set.")
                return True
            self._explain_minimum()
        return False

    def _may_stop(self) -> bool:
        """Whether a wish to stop is granted: a person's always, a callback's once the minimum is reached."""
        enough_epochs = not self.min_epochs or self.position.epoch >= self.min_epochs
        enough_steps = not self.min_steps or self.position.optimizer_steps >= self.min_steps
        agreed = self._trainer.ranks is None or self._trainer.ranks.stopping
        return self._trainer.stopped_by_person or (enough_epochs and enough_steps and agreed)

    def _explain_minimum(self) -> None:
        if not self._explained and (self._trainer.ranks is None or self._trainer.ranks.stopping):
            self._explained = True
            _log.info(
                "Trainer was signaled to stop but the required `min_epochs=%r` or `min_steps=%r` has not been met. "
                "Training will continue...",
                self.min_epochs,
                self.min_steps,
            )

    # Set-up -----------------------------------------------------------------------------------------------------

    def setup_data(self) -> None:
        """Ask for the training loaders, unless they are there and no reload is due."""
        if self.loaders is not None and not self._reload_is_due():
            return
        trainer = self._trainer
        if trainer.source is None:  # somebody asks before the first call
            return
        given = trainer.source.get("train")
        limit = trainer.limit_train_batches
        self.loaders = training_loaders(given, limit, overfit=trainer.overfit_batches > 0)
        if trainer.world_size > 1:
            self.loaders = trainer.sharing.share_all(self.loaders, limit, "train")
        self._loaded_at = self.position.epoch
        self._settle_validation()

    def _reload_is_due(self) -> bool:
        every, epoch = self._trainer.reload_dataloaders_every_n_epochs, self.position.epoch
        return bool(every) and epoch - self._loaded_at >= every and self._trainer.source.from_hook("train")

    def _settle_validation(self) -> None:
        trainer, batches = self._trainer, self.max_batches
        interval = trainer.val_check_interval
        if trainer.plan.val_check_seconds is not None or interval is None:
            self.val_check_batch = INFINITE
        elif isinstance(interval, int):
            self.val_check_batch = interval
            if interval > batches and trainer.check_val_every_n_epoch is not None and trainer.limit_val_batches:
                raise InvalidValueError(
                    "`val_check_interval` must be less than or equal to the number of the training batches",
                    value=interval,
                    valid=f"at most {batches}",
                    advice="To count batches across epochs set `check_val_every_n_epoch=None`.",
                )
        elif batches == INFINITE:
            if interval != 1.0:
                raise MisconfigurationException(
                    "When using an IterableDataset for `train_dataloader`, `Trainer(val_check_interval)` must be `1.0` "
                    "or an int",
                    value=interval,
                )
            self.val_check_batch = INFINITE
        else:
            self.val_check_batch = max(1, int(batches * interval))

    def _resolve(self) -> None:
        """Find what a step needs, once for the whole fit."""
        trainer = self._trainer
        self._step = TrainingStep(trainer, self.optimization, self.position)
        self._schedulers = Schedulers(trainer, self.optimization, self.position)
        self._on_batch_start = trainer.hooks.find("on_train_batch_start")
        self._on_batch_end = trainer.hooks.find("on_train_batch_end")
        self._transfer = trainer.source.transfer(trainer.precision_plugin, trainer.strategy.root_device)
        self._fetch = trainer.profiled("train_dataloader_next", next)
        self._run_step = trainer.profiled("run_training_batch", self._step.run)
        self._usual = Stretch(trainer, self)
        frozen = sum(not part.training for part in trainer.lightning_module.modules())
        if frozen:
            warnings.warn(
                f"Found {frozen} module(s) in eval mode at the start of training. This may lead to unexpected behavior "
                "during training. If this is intentional, you can ignore this warning.",
                PossibleUserWarning,
                stacklevel=2,
            )

    def forget(self) -> None:
        """Let go of the last step's outputs, which may be large."""
        if hasattr(self, "_step"):
            self._step.forget()

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """``loss.backward()`` with the precision's scaling and the hooks, for manual optimization."""
        self._trainer.strategy.before_backward(loss)
        self._step.backward(loss, *args, **kwargs)

    def step_optimizer(self, optimizer: Optimizer, closure: Callable[[], Any] | None, kwargs: dict[str, Any]) -> Any:
        """A step that a ``LightningOptimizer`` was asked for."""
        return self._step.step_optimizer(optimizer, closure, kwargs)

    @property
    def forward_only(self) -> bool:
        """Whether steps end after ``training_step``, without backward and optimizer; for automatic optimization."""
        return self._step.forward_only

    @forward_only.setter
    def forward_only(self, value: bool) -> None:
        self._step.forward_only = value

    def use_schedulers(self, *schedulers: Any) -> None:
        """Step these at each epoch's end from now on, instead of those that the module made."""
        self.optimization.schedulers = [LRSchedulerConfig(scheduler, interval="epoch") for scheduler in schedulers]
        self._schedulers = Schedulers(self._trainer, self.optimization, self.position)

    # Epochs -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Train until a bound is reached or someone wants it to stop."""
        trainer, position = self._trainer, self.position
        self.setup_data()
        if trainer.enable_validation and self.checks_epoch():
            trainer.validation.setup_data()
        self.samples, self.data_wait = 0, 0.0
        if position.failed:
            position.retry()
        if self.max_batches == 0:
            _log.info("`Trainer.fit` stopped: No training batches.")
            return
        if position.epoch_processed:  # a checkpoint written by the hooks at an epoch's end
            position.complete_epoch()
        if self._done():
            return
        self._resolve()
        self._last_validation = time.monotonic()
        trainer.hooks.call("on_train_start")
        resumed = position.epochs_begun > position.epoch
        while not self._done():
            self._run_epoch(resumed)
            resumed = False
        trainer.results.leave()
        trainer.observation.flush(position.batches_done)
        trainer.hooks.call("on_train_end")

    def _run_epoch(self, resumed: bool) -> None:
        trainer, position = self._trainer, self.position
        if not resumed:
            self.setup_data()
            self._begin_epoch()
        self._set_epoch()
        self._validates = trainer.enable_validation
        if not resumed:
            trainer.hooks.call("on_train_epoch_start")
        if trainer.accumulate_grad_batches == 1:
            position.settled = ALL  # where an earlier epoch accumulated
        whole = self._run_batches(skip=position.batches_begun if resumed else 0)
        trainer.observation.flush(position.batches_done)
        trainer.epoch_over = "train"
        if trainer.ranks is not None:
            trainer.results.refresh("train")  # here, where all ranks are: what is asked for later may differ
        position.epoch_processed = True
        trainer.hooks.call("on_train_epoch_end")
        trainer.results.leave()
        trainer.observation.log_epoch("train", step=max(0, position.stepped - 1))
        trainer.results.reset("train")  # here, so that what ``on_train_start`` logs belongs to the first epoch
        trainer.epoch_over = None
        if whole:
            self._schedulers.step(self._schedulers.plateau_by_epoch)
        position.complete_epoch()
        trainer.emit(EpochEnded(time.time(), position.optimizer_steps, position.epoch - 1))

    def _begin_epoch(self) -> None:
        position = self.position
        position.epochs_begun = position.epoch + 1
        position.earlier_batches += position.batches_begun
        position.batches_begun = position.batches_done = 0
        position.is_last_batch = False
        position.epoch_optimizer_steps = position.optimizer_steps
        position.epoch_scheduler_steps = position.scheduler_steps

    def _set_epoch(self) -> None:
        assert self.loaders is not None
        for loader in getattr(self.loaders.flat[0], "flattened", self.loaders.flat):
            set_epoch(loader, self.position.epoch)

    # Batches ----------------------------------------------------------------------------------------------------

    def _run_batches(self, skip: int) -> bool:
        """Run the epoch's batches; whether all of them ran.

        Args:
            skip: how many to pass over, for a fit that resumes within the epoch.
        """
        assert self.loaders is not None
        position, total = self.position, self.max_batches
        if skip and (position.is_last_batch or skip >= total):
            return False  # the checkpoint was written at the end of this epoch's last validation
        iterator: Iterator[Any] = iter(self.loaders.flat[0])
        several = self._trainer.ranks is not None
        unsure = total == INFINITE or (several and length(self.loaders.flat[0]) == INFINITE)
        ahead = LookAhead(iterator, self._trainer.strategy) if unsure else None
        for _ in range(skip):
            next(ahead or iterator)
        return self._iterate(ahead or iterator, ahead, total)

    def _iterate(self, batches: Iterator[Any], ahead: LookAhead | None, total: float) -> bool:
        assert self.loaders is not None
        trainer, position, loader = self._trainer, self.position, self.loaders.flat[0]
        observation, count, clock = trainer.observation, trainer.count_samples, time.monotonic
        combined, size = isinstance(loader, CombinedLoader), fixed_batch_size(loader)
        fetch, transfer = self._fetch, self._transfer
        if transfer is not None and not combined:
            uploaded = transfer.upload(batches, batches_ahead(loader, total - position.batches_begun))
            batches, transfer = (batches, transfer) if uploaded is None else (uploaded, None)
        stretch = None if combined or ahead is not None or transfer is not None else self._stretch()
        mark = clock()
        while position.batches_begun < total:
            if stretch is not None and (until := self._free_until(total)) > position.batches_begun:
                by_step = self._schedulers.by_step
                schedule = partial(self._schedulers.step, by_step) if by_step else None
                if stretch.run(batches, until, size, schedule):
                    return False
                mark = clock()
            try:
                batch = fetch(batches)
            except StopIteration:
                return False
            if combined:
                batch = batch[0]
            now = clock()
            self.data_wait += now - mark
            if now >= observation.due:
                observation.flush(position.batches_done)
                mark = clock()
                if trainer.stopped_by_person:
                    return False
            batch_idx = position.batches_begun
            position.is_last_batch = batch_idx + 1 == total or (ahead is not None and ahead.is_last)
            if transfer is not None:
                batch = transfer(batch, 0)
            position.batches_begun += 1
            if self._on_batch_start is not None and batch is not None:
                trainer.results.batch = batch
                if self._on_batch_start(batch, batch_idx) == -1:
                    position.batches_done += 1
                    position.is_last_batch = True
                    self._schedulers.step(self._schedulers.by_epoch)
                    return False
            ended = self._run_batch(batch, batch_idx, position.is_last_batch)
            if batch is not None:
                self.samples += count(batch) if size is None or position.is_last_batch else size
            if ended:
                return position.is_last_batch
            mark = clock()
        return True

    def _stretch(self) -> Stretch | None:
        """What runs the usual steps, None if this epoch's are others or something is to be done before each."""
        trainer = self._trainer
        timed = self._validates and trainer.plan.val_check_seconds is not None
        if timed or trainer.profiles or self._on_batch_start is not None or self._schedulers.plateau_by_step:
            return None
        self._usual.step = self._step.usual
        return None if self._usual.step is None else self._usual

    def _free_until(self, total: float) -> int:
        """How many batches of the epoch will have begun when there is something to decide after the next one."""
        trainer, position = self._trainer, self.position
        position.attention = False
        if trainer.accumulate_grad_batches != 1 or trainer.should_stop or trainer.validation_asked:
            return 0
        if self.max_steps != -1:
            total = min(total, position.batches_begun + self.max_steps - position.optimizer_steps)
        every, length = trainer.check_val_every_n_epoch, self.val_check_batch
        if self._validates and length != INFINITE and self.checks_epoch():
            earlier = position.earlier_batches if every is None else 0
            total = min(total, ((position.batches_begun + earlier) // length + 1) * length - earlier)
        return int(total) - 1

    def _run_batch(self, batch: Any, batch_idx: int, last: bool) -> bool:
        """One batch from its step to its validation; whether the epoch ends after it."""
        trainer, position = self._trainer, self.position
        accumulate = trainer.accumulate_grad_batches
        stepping = accumulate == 1 or last or (batch_idx + 1) % accumulate == 0
        if not self._step.automatic:
            stepping = True
        try:
            if batch is not None:
                self._run_step(batch, batch_idx, accumulate, stepping)
        except BaseException:
            position.failed = True
            raise
        if accumulate != 1:
            position.settled = position.stepped + stepping
        if stepping and self._schedulers.by_step:
            self._schedulers.step(self._schedulers.by_step)
        if last and self._schedulers.by_epoch:
            self._schedulers.step(self._schedulers.by_epoch)
        if batch is None:
            self.pass_over(batch_idx)
        elif self._on_batch_end is not None:
            self._on_batch_end(self._step.take_outputs(), batch, batch_idx)
        return self.conclude(last, stepping)

    def pass_over(self, batch_idx: int) -> None:
        """The loader gave None, as where a collate function found nothing usable: there is no step."""
        warnings.warn("train_dataloader yielded None. If this was on purpose, ignore this warning...", stacklevel=2)
        if self._on_batch_end is not None:
            self._on_batch_end(None, None, batch_idx)

    def conclude(self, last: bool, stepping: bool) -> bool:
        """Note that a batch is through, validate if that is due; whether the epoch ends here.

        Args:
            last: whether it is the epoch's last batch.
            stepping: whether the optimizers stepped.
        """
        trainer, position = self._trainer, self.position
        position.batches_done += 1
        due = self._validates and self._validation_is_due(last)
        if due or (trainer.validation_asked and stepping):
            self._validate(stepping, due)
        if stepping:
            if self._schedulers.plateau_by_step:
                self._schedulers.step(self._schedulers.plateau_by_step)
            position.stepped += 1
        if trainer.should_stop:
            if self._may_stop():
                return True
            self._explain_minimum()
        return self.max_steps != -1 and position.optimizer_steps >= self.max_steps

    def _validation_is_due(self, last: bool) -> bool:
        trainer, every = self._trainer, self._trainer.check_val_every_n_epoch
        if not self.checks_epoch():
            return False
        if trainer.should_stop and self._may_stop() and not trainer.stopped_by_person:
            return True
        if (seconds := trainer.plan.val_check_seconds) is not None:
            due = time.monotonic() - self._last_validation >= seconds
            return trainer.strategy.reduce_boolean_decision(due, all=False)
        if self.val_check_batch == INFINITE:
            return last
        done = self.position.batches_begun + (self.position.earlier_batches if every is None else 0)
        return done % self.val_check_batch == 0

    def checks_epoch(self) -> bool:
        """Whether the present epoch is one with validation, as far as ``check_val_every_n_epoch`` says."""
        every = self._trainer.check_val_every_n_epoch
        return every is None or (self.position.epoch + 1) % every == 0

    def _validate(self, stepped: bool, due: bool) -> None:
        trainer = self._trainer
        trainer.observation.flush(self.position.batches_done)
        trainer.enter(RunningStage.VALIDATING)
        if stepped:  # not in the middle of an accumulation
            trainer.hooks.call_own("on_validation_model_zero_grad")
        trainer.validation.run()
        trainer.enter(RunningStage.TRAINING)
        trainer.validation_asked = False
        if due:  # else a person has asked for it, and the next one comes when it would have
            self._last_validation = time.monotonic()
        if trainer.ranks is not None:
            trainer.ranks.settle()


def noticed(name: str, doc: str) -> property:
    """An attribute of the trainer that the fit must heed at its next step, so that no step need ask for it."""
    hidden = f"_{name}"

    def change(trainer: Any, value: Any) -> None:
        setattr(trainer, hidden, value)
        if (loop := trainer.__dict__.get("fit_loop")) is not None:
            loop.position.attention = True

    return property(attrgetter(hidden), change, doc=doc)
