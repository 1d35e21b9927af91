"""One call of the Trainer, from set-up to teardown, and what happens when it fails or is interrupted.

It must not know how a loop goes round: it prepares everything a loop needs, runs it, and cleans up.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from lit_studio.base.errors import InvalidStateError, InvalidTypeError, MisconfigurationException
from lit_studio.callbacks.base import EndOfCall
from lit_studio.loggers import Logger
from lit_studio.trainer import resume
from lit_studio.trainer.attachments import check_state_keys, let_callbacks_log, with_module_callbacks
from lit_studio.trainer.data import Source
from lit_studio.trainer.datamodule import LightningDataModule
from lit_studio.trainer.dispatch import Dispatcher, overrides
from lit_studio.trainer.display import print_results
from lit_studio.trainer.module import LightningModule, attach, unwrap_compiled
from lit_studio.trainer.state import RunningStage, TrainerFn, TrainerStatus
from lit_studio.trainer.termination import SIGTERMException, ends_gracefully
from lit_studio.trainer.verification import WORDS, verify

if TYPE_CHECKING:
    from lit_studio.trainer.trainer import Trainer

_log = logging.getLogger("lit_studio")
STAGES = {
    TrainerFn.FITTING: RunningStage.TRAINING,
    TrainerFn.VALIDATING: RunningStage.VALIDATING,
    TrainerFn.TESTING: RunningStage.TESTING,
    TrainerFn.PREDICTING: RunningStage.PREDICTING,
}


@dataclass(frozen=True)
class Call:
    """What a person asked the Trainer to do; see ``Trainer.fit`` and its like."""

    fn: TrainerFn
    model: Any
    loaders: Any
    datamodule: LightningDataModule | None
    ckpt_path: Any
    weights_only: bool | None
    more: dict[str, Any]
    verbose: bool


@ends_gracefully
def carry_out(trainer: Trainer, call: Call) -> Any:
    """Do what was asked.

    Returns:
        What the loop found: None for a fit.

    Raises:
        SystemExit: ^C in a script.
        Exception: whatever the module or a callback raised, after everybody was told.
    """
    module = _accept(trainer, call)
    trainer.state.fn, trainer.state.status = call.fn, TrainerStatus.RUNNING
    trainer.enter(STAGES[call.fn])
    trainer.stopped_by_person = trainer.aborted = trainer.validation_asked = False
    try:
        result = _run(trainer, call, module)
    except KeyboardInterrupt as error:
        _log.info("Detected KeyboardInterrupt, attempting graceful shutdown ...")
        stays = is_interactive(trainer)
        _fail(trainer, error, "interrupted")
        if stays:
            return None
        sys.exit(1)
    except BaseException as error:
        _fail(trainer, error, "interrupted" if isinstance(error, SIGTERMException) else "failed")
        raise
    finally:
        trainer.results.batch = None  # it may be large, and the trainer lives on
        trainer.fit_loop.forget()
        if trainer.plan.compile is not None:
            trainer.compilation.undo()
    trainer.state.status = TrainerStatus.FINISHED
    trainer.state.stage = None
    return result


def is_interactive(trainer: Trainer) -> bool:
    """Whether a person sits before a cell or a prompt that goes on after ^C, rather than before a script."""
    return trainer.observation.displayed or hasattr(sys, "ps1")


def _accept(trainer: Trainer, call: Call) -> LightningModule:
    model = call.model
    if model is None:
        if call.fn == TrainerFn.FITTING or trainer._module is None:
            raise InvalidTypeError(f"`Trainer.{call.fn}()` requires a `LightningModule`", value=model)
        model = trainer._module
    model = unwrap_compiled(model)
    if not isinstance(model, LightningModule):
        raise InvalidTypeError(f"`model` must be a `LightningModule`, got `{type(model).__qualname__}`")
    given = [loaders for loaders in (call.loaders, *call.more.values()) if loaders is not None]
    if given and call.datamodule is not None:
        raise MisconfigurationException(
            f"You cannot pass dataloaders and a datamodule to `Trainer.{call.fn}()`", advice="Pass one of the two."
        )
    if call.datamodule is not None and not isinstance(call.datamodule, LightningDataModule):
        raise InvalidTypeError("`datamodule` must be a `LightningDataModule`", value=call.datamodule)
    return model


def _run(trainer: Trainer, call: Call, module: LightningModule) -> Any:
    trainer.strategy.setup_environment()
    _attach(trainer, call, module)
    verify(trainer, module)
    if call.fn == TrainerFn.FITTING:
        trainer.fit_loop.settle_bounds()
    checkpoint = _read(trainer, call)
    position = trainer.fit_loop.position
    step, epoch = position.optimizer_steps, position.epoch
    if checkpoint is not None and call.fn == TrainerFn.FITTING:
        step, epoch = int(checkpoint.get("global_step", step)), int(checkpoint.get("epoch", epoch))
    trainer.observation.open(step, epoch)
    result = None
    with suppress(EndOfCall):
        _set_up(trainer, module, checkpoint)
        module.zero_grad()  # an earlier call's gradients are nobody's
        with _conditions(trainer):
            result = _LOOPS[call.fn](trainer, call, checkpoint)
    _tear_down(trainer)
    ended_early = trainer.stopped_by_person or (trainer.should_stop and call.fn == TrainerFn.FITTING)
    trainer.observation.close("stopped" if ended_early else "finished")
    return result


def _attach(trainer: Trainer, call: Call, module: LightningModule) -> None:
    trainer._module = module
    if call.datamodule is not None or call.loaders is not None or trainer.source is None or call.model is not None:
        datamodule = call.datamodule
        if datamodule is None and call.loaders is None and call.model is None:
            datamodule = trainer.datamodule
        trainer.datamodule = datamodule
        trainer.source = Source(module, datamodule, {WORDS[call.fn]: call.loaders, **call.more})
    else:
        trainer.source = Source(module, trainer.datamodule, {})
    if trainer.datamodule is not None:
        trainer.datamodule.trainer = trainer
    if call.fn == TrainerFn.FITTING:
        trainer.fit_loop.loaders = trainer.validation.loaders = None
    else:  # what another call found can still be asked for
        trainer.evaluation_now.loaders = None
    trainer.results.clear()
    attach(module, trainer)
    if overrides(module, "configure_callbacks"):
        trainer.callbacks = with_module_callbacks(trainer.callbacks, module)
    if trainer.callbacks:
        check_state_keys(trainer.callbacks)
        let_callbacks_log(trainer.callbacks, module)
    trainer.hooks = Dispatcher(trainer, module, trainer.callbacks, trainer.results)


def validates(trainer: Trainer) -> bool:
    """Whether a fit has a validation step, data for it, and no limit of 0."""
    stepped = overrides(trainer._module, "validation_step")
    return trainer.limit_val_batches > 0 and stepped and trainer.source.has("val")


def _read(trainer: Trainer, call: Call) -> dict[str, Any] | None:
    path = call.ckpt_path
    if path is None and call.model is None and getattr(trainer.checkpoint_callback, "best_model_path", None):
        path = "best"
        warnings.warn(
            f"`.{call.fn}(ckpt_path=None)` was called without a model. The best model of the previous `fit` call will "
            'be used. Pass `ckpt_path="best"` to say so, or the model to use it as it is.',
            stacklevel=2,
        )
    trainer.ckpt_path = None if path is None else resume.resolve_path(trainer, path)
    if trainer.ckpt_path is None:
        return None
    return trainer.placement.read_checkpoint(trainer.ckpt_path, call.weights_only)


def _set_up(trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any] | None) -> None:
    fn, datamodule = trainer.state.fn, trainer.datamodule
    assert fn is not None
    if trainer.profiles:
        trainer.profiler.setup(stage=fn, local_rank=trainer.local_rank, log_dir=trainer.log_dir)
    trainer.source.prepare(trainer.strategy)
    if datamodule is not None:
        datamodule.setup(stage=fn)
    trainer.hooks.call("setup", stage=fn)
    for name in ("configure_sharded_model", "configure_model"):  # the former is the latter's older name
        if overrides(module, name):
            with trainer.precision_plugin.module_init_context():
                getattr(module, name)()
    if checkpoint is not None:
        resume.restore_module(trainer, checkpoint)
    if trainer.plan.compile is not None:
        trainer.compilation.apply(module, trainer.strategy.root_device)
    trainer.strategy.place(module, trainer.precision_plugin, trains=fn == "fit")
    if fn == "fit":
        trainer.fit_loop.optimization.configure(module, trainer)
        trainer.hooks.call("on_fit_start")
    _log_hyperparameters(trainer)
    if checkpoint is not None and fn == "fit":
        resume.restore_training(trainer, checkpoint)


def _log_hyperparameters(trainer: Trainer) -> None:
    if not trainer.loggers:
        return
    params: dict[str, Any] = {}
    for owner in (trainer.lightning_module, trainer.datamodule):
        if owner is not None and owner._log_hyperparams and trainer.plan.enable_autolog_hparams:
            # Which class a command line chose is for checkpoints only.
            _merge(params, {k: v for k, v in owner.hparams_initial.items() if k != "_class_path"})
    for logger in trainer.loggers:
        if params:
            trainer.observation.ask(logger, logger.log_hyperparams, params)
        if isinstance(logger, Logger) and type(logger).log_graph is not Logger.log_graph:
            trainer.observation.ask(logger, logger.log_graph, trainer.lightning_module)
        trainer.observation.ask(logger, logger.save)


def _merge(params: dict[str, Any], more: Mapping[str, Any]) -> None:
    differing = [key for key in params.keys() & more.keys() if not _same(params[key], more[key])]
    if differing:
        raise InvalidStateError(
            "Error while merging hparams: those of the LightningModule and the LightningDataModule have one name and "
            "different values",
            value=sorted(differing, key=str),
            advice="Rename one, or keep one of them from the loggers: `save_hyperparameters(logger=False)`.",
        )
    params.update(more)


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor) or type(first) is not type(second):
        return first is second
    return bool(first == second)


@contextmanager
def _conditions(trainer: Trainer) -> Iterator[None]:
    """What holds for the whole loop, so that a step needs no context of its own."""
    with torch.set_grad_enabled(True), torch.autograd.set_detect_anomaly(trainer.plan.detect_anomaly):
        yield


def _fit(trainer: Trainer, call: Call, checkpoint: Any) -> None:
    position = trainer.fit_loop.position
    resumes_within = position.batches_begun and not position.epoch_processed and position.epochs_begun > position.epoch
    if trainer.num_sanity_val_steps and not resumes_within and validates(trainer):
        trainer.validation.sanity_check()
    trainer.fit_loop.run()
    trainer.hooks.call("on_fit_end")


def _evaluate(trainer: Trainer, call: Call, checkpoint: Any) -> list[dict[str, float]]:
    results = trainer.evaluation_now.run()
    if call.verbose and trainer.is_global_zero and not trainer.observation.displayed:
        print_results(results, "Validate" if call.fn == TrainerFn.VALIDATING else "Test")
    return results


def _predict(trainer: Trainer, call: Call, checkpoint: Any) -> list[Any] | None:
    trainer.prediction.run()
    return trainer.prediction.collect()


_LOOPS: dict[TrainerFn, Any] = {
    TrainerFn.FITTING: _fit,
    TrainerFn.VALIDATING: _evaluate,
    TrainerFn.TESTING: _evaluate,
    TrainerFn.PREDICTING: _predict,
}


def _tear_down(trainer: Trainer) -> None:
    fn = str(trainer.state.fn)
    trainer.results.leave()
    if trainer.datamodule is not None:
        trainer.datamodule.teardown(stage=fn)
    trainer.hooks.call("teardown", stage=fn)
    for logger in trainer.loggers:
        trainer.observation.ask(logger, logger.finalize, "success")
    trainer.placement.teardown()
    if trainer.profiles:
        trainer.profiler.describe()
        trainer.profiler.teardown(stage=fn)


def _fail(trainer: Trainer, error: BaseException, state: Any) -> None:
    """Tell everybody that the call ends through ``error``; what they raise in turn must not hide it."""
    trainer.state.status = TrainerStatus.INTERRUPTED
    trainer.epoch_over = None
    trainer.results.leave()
    trainer.strategy.on_exception(error)
    tell: list[Any] = [trainer.observation.read, lambda: trainer.hooks.call("on_exception", error)]
    if trainer.datamodule is not None:
        tell.append(lambda: trainer.datamodule.on_exception(error))
    tell += [lambda logger=logger: logger.finalize("failed") for logger in trainer.loggers]
    tell.append(trainer.placement.teardown)
    if trainer.profiles:
        tell.append(trainer.profiler.teardown)
    words = "" if isinstance(error, KeyboardInterrupt | SIGTERMException) else f"{type(error).__name__}: {error}"
    tell.append(lambda: trainer.observation.close(state, words))
    for one in tell:
        try:
            one()
        except Exception as second:  # noqa: BLE001 - the first error is the one to be raised
            warnings.warn(f"While the call was ending, this failed too: {second!r}", stacklevel=2)
    trainer.state.stage = None
