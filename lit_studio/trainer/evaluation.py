"""Validation, test and prediction: passes over loaders without gradients.

It must not know training: inside a fit the loop calls it and goes on.
"""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch

from lit_studio.base.errors import InvalidStateError, InvalidValueError
from lit_studio.callbacks.base import EndOfCall
from lit_studio.callbacks.prediction_writer import BasePredictionWriter
from lit_studio.trainer.batch_indices import IndexedBatches
from lit_studio.trainer.combined_loader import CombinedLoader
from lit_studio.trainer.data import Loaders, evaluation_loaders, set_epoch
from lit_studio.trainer.dispatch import accepts, overrides, requires
from lit_studio.trainer.seed import isolate_rng
from lit_studio.trainer.state import RunningStage

if TYPE_CHECKING:
    from lit_studio.trainer.trainer import Trainer

WORDS = {"validate": ("val", "validation"), "test": ("test", "test"), "predict": ("predict", "predict")}


class EvaluationLoop:
    """Passes over the loaders of one stage.

    Args:
        trainer: whose.
        stage: ``validate``, ``test`` or ``predict``.

    Attributes:
        loaders: the stage's, None before they are asked for.
        total: batches of the pass that is under way.
        current_batch_indices: in prediction, the places in the dataset of the batch that runs; None where unknown.
        epoch_batch_indices: the same for every batch of every loader so far, where predictions are kept.
    """

    def __init__(self, trainer: Trainer, stage: str):
        self._trainer, self._stage = trainer, stage
        self._word, self._hook = WORDS[stage]
        self.loaders: Loaders | None = None
        self.total: float = 0
        self.return_predictions = True
        self._predictions: list[list[Any]] = []
        self.epoch_batch_indices: list[list[list[int] | None]] = []
        self.current_batch_indices: list[int] | None = None
        self._loaded_at = -float("inf")
        # Batches of each loader over all passes: the step of what is logged by step.
        self._seen: defaultdict[int, int] = defaultdict(int)

    @property
    def counts(self) -> list[int | float]:
        """Batches of each loader, as far as known."""
        return self.loaders.counts if self.loaders is not None else []

    @property
    def sanity_counts(self) -> list[int | float]:
        """Batches of each loader in the sanity check."""
        return [min(count, self._trainer.num_sanity_val_steps) for count in self.counts]

    @property
    def predictions(self) -> list[Any]:
        """What ``predict_step`` returned, batch by batch; with several loaders a list of that for each."""
        return self._predictions[0] if len(self._predictions) == 1 else self._predictions

    def setup_data(self) -> None:
        """Ask for the loaders, unless they are there, or nothing would be done with them."""
        trainer, source = self._trainer, self._trainer.source
        if trainer.state.fn == "fit" and not trainer.enable_validation:
            return
        if self.loaders is not None and not self._reload_is_due():
            return
        limit = getattr(trainer, f"limit_{self._word}_batches")
        if limit == 0:
            return
        if self.loaders is None:
            self._seen, self._loaded_at = defaultdict(int), -float("inf")
        overfit = trainer.overfit_batches > 0 and trainer.state.fn == "fit"
        self.loaders = evaluation_loaders(source.get(self._word), limit, self._word, overfit)
        self.loaders = trainer.sharing.share_all(self.loaders, limit, self._word)
        if trainer.state.fn == "fit" and (trainer.fit_loop.checks_epoch() or not trainer.sanity_checking):
            self._loaded_at = trainer.current_epoch

    def _reload_is_due(self) -> bool:
        trainer = self._trainer
        every = trainer.reload_dataloaders_every_n_epochs
        due = bool(every) and trainer.current_epoch - self._loaded_at >= every
        return due and trainer.state.fn == "fit" and trainer.source.from_hook(self._word)

    # A pass -----------------------------------------------------------------------------------------------------

    def sanity_check(self) -> None:
        """Try a few batches; nothing is kept, and random numbers go on as if it hadn't happened."""
        trainer = self._trainer
        trainer.enter(RunningStage.SANITY_CHECKING)
        with isolate_rng():
            trainer.hooks.call("on_sanity_check_start")
            self.run()
            trainer.hooks.call("on_sanity_check_end")
        trainer.results.clear_metrics()
        trainer.enter(RunningStage.TRAINING)

    def run(self) -> list[dict[str, float]]:
        """Run the pass with its hooks; returns a dict of metrics for each loader (empty for prediction)."""
        trainer, results = self._trainer, self._trainer.results
        self.setup_data()
        self._predictions = []
        if not self._plan():
            return []
        self._resolve()
        modes = [(module, module.training) for module in trainer.lightning_module.modules()]
        name, batch, loader, scope = self._hook, results.batch, results.loader, results.scope
        trainer.hooks.call_own(f"on_{name}_model_eval")
        with self._no_gradients():
            results.reset(self._stage)
            trainer.hooks.call(f"on_{name}_start")
            counts = self._plan()  # that hook may have found another batch size
            trainer.hooks.call(f"on_{name}_epoch_start")
            try:
                outputs = self._pass(counts)
            except EndOfCall:  # a person wants no more of it: the module is left as it was found
                self._restore(modes)
                raise
            trainer.hooks.call(f"on_{name}_epoch_end")
            results.leave()
            if self._stage != "predict":
                outputs = self._log(len(counts))
            trainer.hooks.call(f"on_{name}_end")
        trainer.epoch_over = None
        results.reset(self._stage)  # a torchmetrics object may be logged by the next pass, of another stage
        self._restore(modes)
        results.eval_step, results.batch, results.loader, results.scope = None, batch, loader, scope
        return outputs

    def _plan(self) -> list[int | float]:
        """Batches of each loader in the pass that begins; empty where there are none at all."""
        counts = self.sanity_counts if self._trainer.sanity_checking else self.counts
        self.total = sum(counts)
        return counts if self.total else []

    def _restore(self, modes: list[tuple[torch.nn.Module, bool]]) -> None:
        hook = f"on_{self._hook}_model_train"
        if overrides(self._trainer.lightning_module, hook):
            self._trainer.hooks.call_own(hook)
            return
        for module, training in modes:
            module.training = training

    def _no_gradients(self) -> AbstractContextManager[Any]:
        # Within a fit never: what a validation leaves in the module, training must be able to differentiate.
        infers = self._trainer.plan.inference_mode and self._trainer.state.fn != "fit"
        return torch.inference_mode() if infers else torch.no_grad()

    def _resolve(self) -> None:
        trainer, name = self._trainer, f"{self._hook}_step"
        module = trainer.lightning_module
        self._step = trainer.profiled(name, trainer.strategy.step(module, name))
        own = getattr(module, name)
        self._takes_index = accepts(own, "batch_idx", 2)
        self._several = len(self.counts) > 1
        for hook in (name, f"on_{self._hook}_batch_start", f"on_{self._hook}_batch_end"):
            if overrides(module, hook):
                self._check_index(hook, getattr(module, hook))
        self._on_start = trainer.hooks.find(f"on_{self._hook}_batch_start")
        self._on_end = trainer.hooks.find(f"on_{self._hook}_batch_end")
        self._transfer = trainer.source.transfer(trainer.precision_plugin, trainer.strategy.root_device)
        self._scope = trainer.results.scope_of(name)
        self._predictions, self.epoch_batch_indices = [], []
        writers = (one for one in trainer.callbacks if isinstance(one, BasePredictionWriter))
        self._keeps = self._stage == "predict" and (
            self.return_predictions or any(writer.interval.on_epoch for writer in writers)
        )

    def _check_index(self, name: str, hook: Callable[..., Any]) -> None:
        """``hook`` gets ``dataloader_idx`` where there are several loaders, and only there."""
        if self._several and not accepts(hook, "dataloader_idx", 5 if name.endswith("_batch_end") else 3):
            raise InvalidStateError(
                f"You provided multiple `{self._word}_dataloader`, but no `dataloader_idx` argument in "
                f"`{type(self._trainer.lightning_module).__name__}.{name}`",
                advice=f"Give it one more argument, `{name}(self, ..., dataloader_idx=0)`.",
            )
        if not self._several and requires(hook, "dataloader_idx"):
            raise InvalidStateError(
                f"You provided only a single `{self._word}_dataloader`, but have included `dataloader_idx` in "
                f"`{type(self._trainer.lightning_module).__name__}.{name}`",
                advice="Remove the argument, or give it a default, `dataloader_idx=0`.",
            )

    def _pass(self, counts: list[int | float]) -> list[dict[str, float]]:
        assert self.loaders is not None
        trainer, results = self._trainer, self._trainer.results
        observation, clock = trainer.observation, time.monotonic
        done = 0
        if trainer.ranks is not None:
            trainer.ranks.begin_pass(sum(counts))
        for index, (loader, count) in enumerate(zip(self.loaders.flat, counts, strict=True)):
            results.loader = index if self._several else None
            self._predictions.append([])
            self.epoch_batch_indices.append([])
            indexed = IndexedBatches(loader) if self._stage == "predict" else None
            for batch_idx, batch in enumerate(self._batches(loader, count, indexed)):
                results.eval_step = self._seen[index]
                self._seen[index] += not trainer.sanity_checking
                if indexed is not None:
                    self.current_batch_indices = indexed.of_batch(batch_idx)
                    if self._keeps:
                        self.epoch_batch_indices[index].append(self.current_batch_indices)
                self._run_batch(batch, batch_idx, index)
                done += 1
                if clock() >= observation.due:
                    observation.flush(done)
                    if trainer.stopped_by_person and trainer.state.fn != "fit":
                        break
            observation.read()
            if trainer.stopped_by_person and trainer.state.fn != "fit":
                break
        observation.flush(done)
        results.loader = results.eval_step = results.batch = None
        trainer.epoch_over = self._stage
        if trainer.ranks is not None:
            results.refresh(self._stage)
        return []

    def _batches(self, loader: Any, count: float, indexed: IndexedBatches | None) -> Iterator[Any]:
        set_epoch(loader, self._trainer.current_epoch)
        iterator = iter(loader if indexed is None else indexed)
        if isinstance(loader, CombinedLoader):
            iterator = (batch for batch, _, _ in iterator)
        batches = iterator if count == float("inf") else islice(iterator, int(count))
        uploaded = self._transfer.upload(batches, ahead=0) if self._transfer is not None else None
        self._moves = self._transfer if uploaded is None else None
        return batches if uploaded is None else uploaded

    def _run_batch(self, batch: Any, batch_idx: int, loader: int) -> None:
        results, precision = self._trainer.results, self._trainer.precision_plugin
        if self._moves is not None:
            batch = self._moves(batch, loader)
        results.batch = batch
        tail = (loader,) if self._several else ()
        if self._on_start is not None:
            self._on_start(batch, batch_idx, *tail)
        results.scope = self._scope
        arguments = (batch, batch_idx, *tail) if self._takes_index else (batch,)
        if precision.active:
            with precision.forward_context():
                output = self._step(*arguments)
        else:
            output = self._step(*arguments)
        if self._stage == "predict" and output is None:
            self._warn_nothing_predicted()
        if self._on_end is not None:
            self._on_end(output, batch, batch_idx, *tail)
        if self._keeps:
            self._predictions[loader].append(output)

    def _warn_nothing_predicted(self) -> None:
        warnings.warn("predict returned None if it was on purpose, ignore this warning...", stacklevel=2)

    def _log(self, loaders: int) -> list[dict[str, float]]:
        trainer, results = self._trainer, self._trainer.results
        if trainer.sanity_checking:
            trainer.observation.read()
            found = results.note_epoch(self._stage)
        else:
            found = trainer.observation.log_epoch(self._stage, step=trainer.fit_loop.position.stepped)
        outputs: list[dict[str, float]] = [{} for _ in range(loaders)]
        for series, _ in found:
            if not series.logger:
                continue
            own = outputs if series.loader is None else outputs[series.loader : series.loader + 1]
            for output in own:  # as exact as everywhere else where somebody may look
                output[series.epoch_name] = float(results.callback_metrics[series.epoch_name])
        return outputs

    def collect(self) -> list[Any] | None:
        """The predictions: a list of batches' outputs, or a list of those for several loaders; None if not kept."""
        return self.predictions if self.return_predictions and self._predictions else None


def check_return_predictions(value: Any) -> bool:
    """The argument ``return_predictions`` of ``Trainer.predict``.

    Raises:
        InvalidValueError: it is no bool.
    """
    if value is not None and not isinstance(value, bool):
        raise InvalidValueError("return_predictions has the wrong type", value=value, valid="True, False or None")
    return value is not False
