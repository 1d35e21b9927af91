"""What a checkpoint holds, gathered from a trainer and put back into one, under Lightning's keys.

It must not know how a file is written or read, nor when.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from copy import deepcopy
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch

from lit_studio.base.errors import CheckpointNotFoundError, InvalidValueError, MisconfigurationException
from lit_studio.trainer.hyperparameters import INSTANTIATOR, OUR_INSTANTIATOR
from lit_studio.trainer.state import Position

if TYPE_CHECKING:
    from lit_studio.trainer.trainer import Trainer

# The layout is the one of this version; Lightning looks at the number to know what to translate.
LAYOUT = "2.6.0"


def gather(trainer: Trainer, weights_only: bool = False) -> dict[str, Any]:
    """The state of ``trainer``: module, optimizers, schedulers, callbacks, loops, hyper-parameters.

    Args:
        trainer: one whose module is attached.
        weights_only: leave out all that only training needs.
    """
    module, datamodule, loop = trainer.lightning_module, trainer.datamodule, trainer.fit_loop
    checkpoint: dict[str, Any] = {
        "epoch": trainer.current_epoch,
        "global_step": trainer.global_step,
        "pytorch-lightning_version": LAYOUT,
        "state_dict": trainer.strategy.module_state(module),
        "loops": loop.position.to_loops(module.automatic_optimization),
    }
    if not weights_only:
        checkpoint["callbacks"] = callback_states(trainer)
        optimization = loop.optimization
        checkpoint["optimizer_states"] = [trainer.strategy.optimizer_state(one) for one in optimization.optimizers]
        checkpoint["lr_schedulers"] = [config.scheduler.state_dict() for config in optimization.schedulers]
        if state := trainer.precision_plugin.state_dict():
            checkpoint[type(trainer.precision_plugin).__qualname__] = state
    for owner in (module, datamodule):
        if owner is not None and owner.hparams:
            if hasattr(owner, "_hparams_name"):
                checkpoint[owner.CHECKPOINT_HYPER_PARAMS_NAME] = owner._hparams_name
            checkpoint[owner.CHECKPOINT_HYPER_PARAMS_KEY] = dict(owner.hparams)
    if datamodule is not None and (state := datamodule.state_dict()):
        checkpoint[type(datamodule).__qualname__] = state
    if not weights_only:
        for callback in trainer.callbacks:
            callback.on_save_checkpoint(trainer, module, checkpoint)
    for owner in (module, datamodule):
        if owner is not None:
            owner.on_save_checkpoint(checkpoint)
    return checkpoint


def callback_states(trainer: Trainer) -> dict[str, Any]:
    """What callbacks keep, by their keys."""
    states = ((callback.state_key, callback.state_dict()) for callback in trainer.callbacks)
    return {key: state for key, state in states if state}


def restore_module(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Put weights, datamodule and callbacks back, before the optimizers are made."""
    module, datamodule = trainer.lightning_module, trainer.datamodule
    module.on_load_checkpoint(checkpoint)
    trainer.strategy.load_module_state(module, checkpoint["state_dict"], strict=module.strict_loading is not False)
    if datamodule is not None:
        datamodule.on_load_checkpoint(checkpoint)
        if state := checkpoint.get(type(datamodule).__qualname__):
            datamodule.load_state_dict(state)
    if checkpoint.get("callbacks") is not None:
        _restore_callbacks(trainer, checkpoint)


def _restore_callbacks(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    for callback in trainer.callbacks:
        callback.on_load_checkpoint(trainer, trainer.lightning_module, checkpoint)
    states = checkpoint["callbacks"]
    missing = [key for key in states if key not in {callback.state_key for callback in trainer.callbacks}]
    if missing and not all(isinstance(key, type) for key in missing):
        warnings.warn(
            "The checkpoint holds the state of callbacks that this Trainer doesn't have, so it is lost. "
            f"Please add the following callbacks: {missing}.",
            stacklevel=2,
        )
    for callback in trainer.callbacks:
        # Files of early versions keep the class itself as the key.
        state = states.get(callback.state_key, states.get(type(callback)))
        if state:
            callback.load_state_dict(deepcopy(state))


def restore_training(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Put precision, loops, optimizers and schedulers back.

    Raises:
        MisconfigurationException: the checkpoint has no optimizer states, or another number of them, or is of a later
            epoch than the last one.
    """
    loop = trainer.fit_loop
    if state := checkpoint.get(type(trainer.precision_plugin).__qualname__):
        trainer.precision_plugin.load_state_dict(state)
    loop.position.take(Position.from_checkpoint(checkpoint))
    if loop.max_epochs not in (None, -1) and loop.position.epoch > loop.max_epochs:
        raise MisconfigurationException(
            f"You restored a checkpoint with current_epoch={loop.position.epoch}, which is past the last epoch of "
            f"Trainer(max_epochs={loop.max_epochs})",
            advice="Pass a larger max_epochs.",
        )
    if "optimizer_states" not in checkpoint:
        raise MisconfigurationException(
            "Trying to restore training state but checkpoint contains only the model",
            advice="It was probably saved with `save_weights_only=True`; load it with `load_from_checkpoint`.",
        )
    states, optimizers = checkpoint["optimizer_states"], loop.optimization.optimizers
    if len(states) != len(optimizers):
        raise MisconfigurationException(
            "The checkpoint holds another number of optimizers than `configure_optimizers` returned",
            value=len(states),
            valid=str(len(optimizers)),
        )
    for optimizer, state in zip(optimizers, states, strict=True):
        trainer.strategy.load_optimizer_state(optimizer, state)
    for config, state in zip(loop.optimization.schedulers, checkpoint.get("lr_schedulers", []), strict=False):
        config.scheduler.load_state_dict(state)


# Which file -----------------------------------------------------------------------------------------------------


def resolve_path(trainer: Trainer, ckpt_path: Any) -> Any:
    """The file that ``ckpt_path`` means: a path, ``"best"``, ``"last"``, or None for none.

    Raises:
        InvalidValueError: ``"best"`` without a checkpoint callback that has saved one.
        CheckpointNotFoundError: no such file.
    """
    if ckpt_path is None or not isinstance(ckpt_path, str | Path):
        return ckpt_path
    if ckpt_path == "best":
        return _best(trainer)
    if ckpt_path == "last":
        return _last(trainer)
    if "://" not in str(ckpt_path) and not Path(ckpt_path).expanduser().exists():
        raise CheckpointNotFoundError(f"Checkpoint file not found: {ckpt_path}")
    return str(Path(ckpt_path).expanduser()) if "://" not in str(ckpt_path) else ckpt_path


def _best(trainer: Trainer) -> str:
    callback = trainer.checkpoint_callback
    if callback is None:
        raise InvalidValueError(
            '`ckpt_path="best"` is set but `ModelCheckpoint` is not configured', advice="Pass a path instead."
        )
    path = getattr(callback, "best_model_path", "")
    if not path:
        if trainer.fast_dev_run:
            raise InvalidValueError('`ckpt_path="best"` needs a checkpoint, and `fast_dev_run=True` saves none')
        raise InvalidValueError(
            '`ckpt_path="best"` is set but `ModelCheckpoint` is not configured to save the best model, or has not yet',
            advice="Call `fit` first, or pass a path.",
        )
    return str(path)


def _last(trainer: Trainer) -> str | None:
    found: set[str] = set()
    for callback in trainer.checkpoint_callbacks:
        if hasattr(callback, "_find_last_checkpoints"):
            found |= callback._find_last_checkpoints(trainer)
    if not found:
        warnings.warn(
            '`ckpt_path="last"` is set, but there is no last checkpoint available. No checkpoint will be loaded.',
            stacklevel=3,
        )
        return None
    return max(found, key=lambda path: Path(path).stat().st_mtime)


# Objects from a file --------------------------------------------------------------------------------------------


def build_from_checkpoint(
    cls: type[Any],
    path: str | Path | IO[bytes],
    map_location: Any,
    hparams_file: str | Path | None,
    weights_only: bool | None,
    kwargs: dict[str, Any],
) -> tuple[Any, dict[str, Any]]:
    """An instance of ``cls`` made with the hyper-parameters in a checkpoint, and the checkpoint.

    Args:
        cls: a LightningModule or LightningDataModule class.
        path: the file.
        map_location: as in ``torch.load``.
        weights_only: as in ``torch.load``.
        hparams_file: a YAML file of hyper-parameters, instead of those in the checkpoint.
        kwargs: arguments that win.
    """
    from lit_studio.trainer.checkpoint import read_checkpoint

    if isinstance(path, str | Path):
        checkpoint: dict[str, Any] = dict(read_checkpoint(path, map_location, weights_only))
    else:
        checkpoint = dict(torch.load(path, map_location=map_location, weights_only=weights_only))
    if hparams_file is not None:
        checkpoint[cls.CHECKPOINT_HYPER_PARAMS_KEY] = _read_yaml(Path(hparams_file))
        checkpoint.pop(cls.CHECKPOINT_HYPER_PARAMS_NAME, None)
    hparams = dict(checkpoint.get(cls.CHECKPOINT_HYPER_PARAMS_KEY) or {})
    if hparams.pop(INSTANTIATOR, None) is not None:
        # Whatever it names: only our own way of making objects is run for a file's sake.
        maker = importlib.import_module(OUR_INSTANTIATOR)
        return maker.instantiate_module(cls, {**hparams, **kwargs}), checkpoint
    return cls(**_arguments(cls, hparams, checkpoint.get(cls.CHECKPOINT_HYPER_PARAMS_NAME), kwargs)), checkpoint


def _arguments(cls: type[Any], hparams: dict[str, Any], name: str | None, kwargs: dict[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(cls.__init__).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    if name and name not in ("kwargs", "args") and name in parameters and hparams:
        from lit_studio.trainer.hyperparameters import AttributeDict

        given: dict[str, Any] = {name: AttributeDict({**hparams, **{k: v for k, v in kwargs.items() if k in hparams}})}
        given.update({key: value for key, value in kwargs.items() if key in parameters})
        return given
    merged = {**hparams, **kwargs}
    return merged if takes_all else {key: value for key, value in merged.items() if key in parameters}


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
