"""``LightningModule``: a model with its steps, its optimizers and everything it may say to the trainer.

It must not know how the loop works: it is called, and it calls the trainer's public face.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lit_studio.base.errors import InvalidStateError, MisconfigurationException
from lit_studio.trainer.batches import as_tensors, map_tensors
from lit_studio.trainer.dispatch import overrides
from lit_studio.trainer.export import ExportMixin
from lit_studio.trainer.hooks import CheckpointHooks, DataHooks, ModelHooks
from lit_studio.trainer.hyperparameters import HyperparametersMixin
from lit_studio.trainer.optimization import LightningOptimizer, clip
from lit_studio.trainer.resume import build_from_checkpoint

if TYPE_CHECKING:
    from lit_studio.callbacks.base import Callback
    from lit_studio.trainer.results import Results
    from lit_studio.trainer.trainer import Trainer


class LightningModule(ModelHooks, DataHooks, CheckpointHooks, ExportMixin, HyperparametersMixin, nn.Module):
    """A ``torch.nn.Module`` that says how it is trained.

    Define ``training_step`` and ``configure_optimizers``, and for what else is wanted ``validation_step``,
    ``test_step``, ``predict_step`` and any hook.

    Attributes:
        automatic_optimization: whether the loop calls backward and steps the optimizer; set False in ``__init__`` to do
            so in ``training_step``.
        strict_loading: whether checkpoints must have exactly this module's keys.
        example_input_array: an input for the summary and for export.
    """

    # Types apart from values, because TorchScript tries to compile the annotations of what an instance sets.
    if TYPE_CHECKING:
        automatic_optimization: bool
        strict_loading: bool
        example_input_array: Any
        _trainer: Trainer | None
        _results: Results | None
        _device: torch.device | None
    else:
        # In the class, so that a subclass may set them there or make properties of them.
        automatic_optimization = strict_loading = True
        example_input_array = None
        # Set through ``__dict__``, because torch's ``__setattr__`` is slow and would take them for state.
        _trainer = _results = _device = None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._param_requires_grad: dict[Any, bool] = {}

    # Where it is ------------------------------------------------------------------------------------------------

    @property
    def trainer(self) -> Trainer:
        """The trainer.

        Raises:
            InvalidStateError: no trainer has taken this module yet.
        """
        trainer = self._trainer
        if trainer is None and not self._is_scripting:
            raise InvalidStateError(
                f"{type(self).__qualname__} is not attached to a `Trainer`", advice="Call trainer.fit(model) first."
            )
        return trainer  # type: ignore[return-value]

    @trainer.setter
    def trainer(self, trainer: Trainer | None) -> None:
        attach(self, trainer)

    @property
    def fabric(self) -> Any:
        """The Fabric object that trains this module, None under a Trainer."""
        return self.__dict__.get("_fabric")

    @fabric.setter
    def fabric(self, fabric: Any) -> None:
        self.__dict__["_fabric"] = fabric

    @property
    def device(self) -> torch.device:
        """Where the first parameter or buffer lies; the trainer's device if there is none."""
        if self._device is None:
            first = next(chain(self.parameters(), self.buffers()), None)
            if first is None:
                return self._trainer.strategy.root_device if self._trainer is not None else torch.device("cpu")
            self.__dict__["_device"] = first.device
        return self._device  # type: ignore[return-value]

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        self.__dict__["_device"] = None  # it is about to move
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    @property
    def dtype(self) -> torch.dtype:
        """Of the first floating-point parameter; torch's default if there is none."""
        found = (parameter.dtype for parameter in self.parameters() if parameter.is_floating_point())
        return next(found, torch.get_default_dtype())

    @property
    def device_mesh(self) -> Any:
        """The mesh of a model-parallel strategy, None elsewhere."""
        return None

    @property
    def on_gpu(self) -> bool:
        """Whether it lies on a CUDA device."""
        return self.device.type == "cuda"

    @property
    def current_epoch(self) -> int:
        """The trainer's, 0 without one."""
        return self._trainer.current_epoch if self._trainer is not None else 0

    @property
    def global_step(self) -> int:
        """The trainer's optimizer steps, 0 without one."""
        return self._trainer.global_step if self._trainer is not None else 0

    @property
    def global_rank(self) -> int:
        """This process among all, 0 without a trainer."""
        return self._trainer.global_rank if self._trainer is not None else 0

    @property
    def local_rank(self) -> int:
        """This process on its node, 0 without a trainer."""
        return self._trainer.local_rank if self._trainer is not None else 0

    @property
    def logger(self) -> Any:
        """The trainer's first logger, None without one."""
        return self._trainer.logger if self._trainer is not None else None

    @property
    def loggers(self) -> list[Any]:
        """The trainer's loggers."""
        return self._trainer.loggers if self._trainer is not None else []

    # What users define ------------------------------------------------------------------------------------------

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """``training_step(batch, batch_idx)``: return the loss, a dict with ``loss``, or None to skip the batch."""
        raise _undefined("training_step")

    def validation_step(self, *args: Any, **kwargs: Any) -> Any:
        """``validation_step(batch, batch_idx[, dataloader_idx])``."""

    def test_step(self, *args: Any, **kwargs: Any) -> Any:
        """``test_step(batch, batch_idx[, dataloader_idx])``."""

    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        """``predict_step(batch, batch_idx[, dataloader_idx])``: by default ``self(batch)``."""
        return self(args[0] if args else kwargs.get("batch"))

    def configure_optimizers(self) -> Any:
        """The optimizers and schedulers; see ``optimization.take_apart`` for the forms."""
        raise _undefined("configure_optimizers")

    def configure_callbacks(self) -> Sequence[Callback] | Callback:
        """Callbacks that this model needs; one of a type that the Trainer has too takes its place."""
        return []

    # Optimization -----------------------------------------------------------------------------------------------

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        """The optimizer, or a list of several, for manual optimization.

        Args:
            use_pl_optimizer: wrapped so that the trainer sees the steps; False gives torch's own.
        """
        if self.fabric is not None:
            found = self.__dict__["_fabric_optimizers"]
            return found[0] if len(found) == 1 else found
        return self.trainer.fit_loop.optimization.faces(use_pl_optimizer)

    def lr_schedulers(self) -> Any:
        """The scheduler, a list of several, or None."""
        found = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        return found[0] if len(found) == 1 else found or None

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """``loss.backward()`` with the precision's scaling and the hooks, for manual optimization.

        Raises:
            MisconfigurationException: ``automatic_optimization`` is True.
        """
        if self.automatic_optimization:
            raise MisconfigurationException(
                "After `manual_backward`, `self.automatic_optimization` must be False",
                advice="Set `self.automatic_optimization = False` in `__init__`.",
            )
        (self.fabric or self.trainer.fit_loop).backward(loss, *args, **kwargs)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """``loss.backward()``; override to do it otherwise."""
        loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Step; ``optimizer_closure`` runs ``training_step`` and backward and must be handed on or called."""
        optimizer.step(closure=optimizer_closure)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """``optimizer.zero_grad()``; override to do it otherwise."""
        optimizer.zero_grad()

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step ``scheduler``, with ``metric`` if it monitors one."""
        scheduler.step() if metric is None else scheduler.step(metric)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as the Trainer's arguments say; override to do it otherwise."""
        self.clip_gradients(
            optimizer, gradient_clip_val=gradient_clip_val, gradient_clip_algorithm=gradient_clip_algorithm
        )

    def clip_gradients(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients of ``optimizer``'s parameters in place.

        Args:
            optimizer: whose parameters.
            gradient_clip_val: the largest norm or value; None takes the Trainer's.
            gradient_clip_algorithm: ``"norm"`` or ``"value"``; None takes the Trainer's, or ``"norm"``.

        Raises:
            MisconfigurationException: the Trainer was told otherwise.
        """
        plan = self.trainer.plan
        pairs: tuple[tuple[Any, Any], ...] = (
            (gradient_clip_val, plan.gradient_clip_val),
            (gradient_clip_algorithm, plan.gradient_clip_algorithm),
        )
        for own, trainers in pairs:
            if own is not None and trainers is not None and own != trainers:
                raise MisconfigurationException(
                    "You have set gradient clipping in the Trainer and pass another one here",
                    value=own,
                    valid=f"{trainers!r}",
                )
        value, algorithm = (own if own is not None else trainers for own, trainers in pairs)
        clip(optimizer, value, algorithm)

    def toggle_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> None:
        """Only ``optimizer``'s parameters require gradients, until :meth:`untoggle_optimizer`."""
        chosen = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for other in self.trainer.optimizers:
            for parameter in (p for group in other.param_groups for p in group["params"]):
                self._param_requires_grad.setdefault(parameter, parameter.requires_grad)
                if id(parameter) not in chosen:
                    parameter.requires_grad = False
        for parameter in self._param_requires_grad:
            if id(parameter) in chosen:
                parameter.requires_grad = self._param_requires_grad[parameter]

    def untoggle_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> None:
        """Undo :meth:`toggle_optimizer`."""
        for parameter, required in self._param_requires_grad.items():
            parameter.requires_grad = required
        self._param_requires_grad = {}

    @contextmanager
    def toggled_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> Iterator[None]:
        """:meth:`toggle_optimizer` for the body of a ``with`` statement."""
        self.toggle_optimizer(optimizer)
        try:
            yield
        finally:
            self.untoggle_optimizer(optimizer)

    def freeze(self) -> LightningModule:
        """No parameter requires gradients any more, and evaluation mode."""
        for parameter in self.parameters():
            parameter.requires_grad = False
        return self.eval()

    def unfreeze(self) -> LightningModule:
        """All parameters require gradients, and training mode."""
        for parameter in self.parameters():
            parameter.requires_grad = True
        return self.train()

    # Logging ----------------------------------------------------------------------------------------------------

    def log(
        self,
        name: str,
        value: Any,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[..., Any] = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: Any = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        metric_attribute: str | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """Record ``value`` under ``name``; it is read from the device later, several times a second.

        Args:
            name: the key; ``a/b`` groups.
            value: a tensor of one element, a number, or a torchmetrics object.
            prog_bar: show it as a headline number.
            logger: whether loggers get it (default True).
            on_step: keep the value of each step; by default in training steps.
            on_epoch: keep the epoch's reduction; by default everywhere else.
            reduce_fx: ``"mean"`` (weighted by the batch size), ``"sum"``, ``"min"`` or ``"max"``.
            enable_graph: accepted; values are read, never differentiated.
            sync_dist: reduce over ranks at the end of the epoch; nothing to do on one rank.
            sync_dist_group: the ranks to reduce over.
            add_dataloader_idx: append ``/dataloader_idx_N`` where there are several loaders.
            batch_size: weight of the mean; by default taken from the batch.
            metric_attribute: accepted; metrics are found without it.
            rank_zero_only: only rank 0 calls this.

        Raises:
            MisconfigurationException: here nothing can be logged, or one key was logged two ways.
            InvalidValueError: ``value`` can't be logged.
        """
        results = self._results
        if results is None and self.fabric is not None:
            self.fabric.log(name, value)
            return
        if results is None:
            warnings.warn(
                "You are trying to `self.log()` but the `self.trainer` reference is not registered on the model yet. "
                "This is most likely because the model hasn't been passed to the `Trainer`",
                stacklevel=2,
            )
            return
        if sync_dist and results.shared is not None:
            options = (prog_bar, logger, on_step, on_epoch, reduce_fx, add_dataloader_idx)
            results.shared.log(value, sync_dist_group, batch_size, (name, results.loader, *options))
            return
        results.log(name, value, prog_bar, logger, on_step, on_epoch, reduce_fx, add_dataloader_idx, batch_size)

    def log_dict(
        self,
        dictionary: Mapping[str, Any],
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[..., Any] = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: Any = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """:meth:`log` for each item of ``dictionary``, or each metric of a torchmetrics collection."""
        results = self._results
        if results is None and self.fabric is not None:
            self.fabric.log_dict(dictionary)
            return
        if results is None:
            self.log("", 0.0)  # warns
            return
        if callable(getattr(dictionary, "_compute_and_reduce", None)):  # a MetricCollection copies states by default
            items: Any = dictionary.items(keep_base=False, copy_state=False)  # type: ignore[call-arg]
        else:
            items = dictionary.items()
        if sync_dist and results.shared is not None:
            options = (prog_bar, logger, on_step, on_epoch, reduce_fx, add_dataloader_idx)
            for name, value in items:
                results.shared.log(value, sync_dist_group, batch_size, (name, results.loader, *options))
            return
        for name, value in items:
            results.log(name, value, prog_bar, logger, on_step, on_epoch, reduce_fx, add_dataloader_idx, batch_size)

    def print(self, *args: Any, **kwargs: Any) -> None:
        """``print`` on rank 0 only."""
        if self._trainer is None or self._trainer.is_global_zero:
            print(*args, **kwargs)  # noqa: T201 - that is what it is for

    def all_gather(self, data: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """The tensors in ``data`` from all ranks, stacked along a new first dimension where there are several."""
        strategy = self.trainer.strategy
        return map_tensors(as_tensors(data, self.device), lambda tensor: strategy.all_gather(tensor, group, sync_grads))

    # Checkpoints ------------------------------------------------------------------------------------------------

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """A module made with the hyper-parameters kept in a checkpoint, with its weights.

        Args:
            checkpoint_path: the file, ours or Lightning's.
            map_location: as in ``torch.load``.
            hparams_file: a YAML file of hyper-parameters to use instead of those in the checkpoint.
            strict: whether the keys must match exactly; by default the module's ``strict_loading``.
            weights_only: as in ``torch.load``; None leaves torch's default.
            kwargs: arguments of ``__init__`` that win over those in the checkpoint.

        Raises:
            CheckpointNotFoundError, CheckpointCorruptError: the file isn't there or isn't whole.
        """
        module, checkpoint = build_from_checkpoint(
            cls, checkpoint_path, map_location, hparams_file, weights_only, kwargs
        )
        module.configure_model()
        module.on_load_checkpoint(checkpoint)
        module.load_state_dict(
            checkpoint["state_dict"], strict=module.strict_loading is not False if strict is None else strict
        )
        return module

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        # A copied or pickled module has no trainer, and is compiled anew if it is compiled.
        for name in ("_trainer", "_results", "_fabric", *state.get("_compiled", ()), "_compiled"):
            state.pop(name, None)
        return state


# TorchScript evaluates the properties of what it compiles, unless they are named here.
LightningModule.__jit_unused_properties__ = [  # type: ignore[attr-defined]
    name for name in dir(LightningModule) if isinstance(getattr(LightningModule, name), property)
]


def attach(module: LightningModule, trainer: Trainer | None) -> None:
    """Tell ``module``, and every LightningModule within it, whose it is now."""
    for part in module.modules():
        if isinstance(part, LightningModule):
            part.__dict__.update(_trainer=trainer, _results=trainer.results if trainer is not None else None)


def unwrap_compiled(model: Any) -> Any:
    """The module in ``torch.compile``'s wrapper, with its steps and ``forward`` compiled; any other model as it is."""
    if "torch._dynamo" not in sys.modules or not isinstance(model, torch._dynamo.OptimizedModule):
        return model
    module, compiled = model._orig_mod, model.dynamo_ctx
    # What ``log`` keeps for later a traced graph can't keep.
    untraced: Any = torch.compiler.disable
    wrapped = {name: untraced(getattr(module, name)) for name in ("log", "log_dict")}
    steps = ("forward", "training_step", "validation_step", "test_step", "predict_step")
    wrapped |= {name: compiled(getattr(module, name)) for name in steps if overrides(module, name)}
    if "_compiled" not in module.__dict__:
        module.__dict__.update(wrapped, _compiled=tuple(wrapped))
    return module


def _undefined(name: str) -> MisconfigurationException:
    return MisconfigurationException(
        f"No `{name}()` method defined", advice=f"Lit Studio's Trainer needs `{name}()` in your LightningModule."
    )
