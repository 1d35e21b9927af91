"""Whether a module, its loaders and the Trainer's arguments fit together, asked before any work starts.

It must not know how anything runs: it looks at what is defined.
"""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING

from lit_studio.base.errors import InvalidStateError, MisconfigurationException, RemovedError
from lit_studio.trainer.dispatch import overrides
from lit_studio.trainer.warning_kinds import PossibleUserWarning

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

WORDS = {"fit": "train", "validate": "val", "test": "test", "predict": "predict"}
STEPS = {"fit": "training_step", "validate": "validation_step", "test": "test_step"}
ENDS = {"fit": ("training", "validation"), "validate": ("validation",), "test": ("test",)}


def verify(trainer: Trainer, module: LightningModule) -> None:
    """Refuse a call that can't work, and warn of what will not run.

    Raises:
        MisconfigurationException: a step, a loader or ``configure_optimizers`` is missing, or an argument of the
            Trainer makes no sense in manual optimization, or a step wants the loader's iterator.
        RemovedError: a hook that was taken out of Lightning 2.
        InvalidStateError: ``training_step`` wants the index of one of several optimizers.
    """
    fn = str(trainer.state.fn)
    step = STEPS.get(fn)
    if step is not None and not overrides(module, step):
        raise MisconfigurationException(
            f"No `{step}()` method defined to run `Trainer.{fn}`",
            advice=f"Lit Studio's Trainer needs `{step}()` in your LightningModule.",
        )
    if fn == "predict":
        _verify_predict(module)
    elif step is not None and "dataloader_iter" in inspect.signature(getattr(module, step)).parameters:
        raise MisconfigurationException(
            f"`{step}(dataloader_iter)` is not supported: each step gets the batch that the loop has drawn",
            advice=f"Define it as `{step}(self, batch, batch_idx)`.",
        )
    if not trainer.source.has(WORDS[fn]):
        raise MisconfigurationException(
            f"An invalid dataloader was passed to `Trainer.{fn}`: there is none",
            advice=f"Either pass a dataloader to `.{fn}()`, or implement `{WORDS[fn]}_dataloader()` in your "
            "LightningModule or LightningDataModule.",
        )
    if fn == "fit":
        _verify_fit(trainer, module)
    for kind in ENDS.get(fn, ()):
        if callable(getattr(module, f"{kind}_epoch_end", None)):
            hook = "on_train_epoch_end" if kind == "training" else f"on_{kind}_epoch_end"
            raise RemovedError(
                f"Support for `{kind}_epoch_end` has been removed in Lightning 2: it would never be called",
                advice=f"Keep what the steps return in an attribute, and use it in `{hook}(self)`.",
            )


def _verify_predict(module: LightningModule) -> None:
    if getattr(module, "predict_step", None) is None:
        raise MisconfigurationException("`predict_step` cannot be None to run `Trainer.predict`")
    if not overrides(module, "predict_step") and not overrides(module, "forward"):
        raise MisconfigurationException("`Trainer.predict` requires `forward` method to run, or `predict_step`")


def _verify_fit(trainer: Trainer, module: LightningModule) -> None:
    if not overrides(module, "configure_optimizers"):
        raise MisconfigurationException(
            "No `configure_optimizers()` method defined",
            advice="Lit Studio's Trainer needs `configure_optimizers()` in your LightningModule.",
        )
    if "optimizer_idx" in inspect.signature(module.training_step).parameters:
        raise InvalidStateError(
            "Training with multiple optimizers is only supported with manual optimization, so `training_step` gets no "
            "`optimizer_idx`",
            advice="Remove the `optimizer_idx` argument from `training_step`, set "
            "`self.automatic_optimization = False` and step each optimizer yourself.",
        )
    steps, data = overrides(module, "validation_step"), trainer.source.has("val")
    if steps and not data and trainer.limit_val_batches:
        warnings.warn(
            "You defined a `validation_step` but have no `val_dataloader`. Skipping val loop.",
            PossibleUserWarning,
            stacklevel=2,
        )
    if data and not steps:
        warnings.warn(
            "You passed in a `val_dataloader` but have no `validation_step`. Skipping val loop.", stacklevel=2
        )
    if not module.automatic_optimization:
        _verify_manual(trainer)


def _verify_manual(trainer: Trainer) -> None:
    accumulate = trainer.accumulate_grad_batches if trainer.accumulate_grad_batches != 1 else None
    manual = {
        "Automatic gradient clipping": ("gradient_clip_val", trainer.gradient_clip_val),
        "Automatic gradient accumulation": ("accumulate_grad_batches", accumulate),
    }
    for what, (name, value) in manual.items():
        if value:
            raise MisconfigurationException(
                f"{what} is not supported for manual optimization",
                advice=f"Remove `Trainer({name}={value})` or switch to automatic optimization.",
            )
