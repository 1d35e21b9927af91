"""The callback that prunes weights while a model trains, and finds winning tickets.

It must not know how a mask is computed: ``torch.nn.utils.prune`` does that.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn
from torch.nn.utils import prune

from lit_studio.base.errors import MisconfigurationException
from lit_studio.callbacks.base import Callback

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

Parameters = Sequence[tuple[nn.Module, str]]
Amount = int | float
_METHODS: dict[str, tuple[type[prune.BasePruningMethod], Callable[..., Any]]] = {
    "ln_structured": (prune.LnStructured, prune.ln_structured),
    "l1_unstructured": (prune.L1Unstructured, prune.l1_unstructured),
    "random_structured": (prune.RandomStructured, prune.random_structured),
    "random_unstructured": (prune.RandomUnstructured, prune.random_unstructured),
}
_log = logging.getLogger("lit_studio")


class ModelPruning(Callback):
    """Prunes parameters at the end of epochs.

    Each pruning takes its share of what is still there. A pruned parameter ``weight`` becomes ``weight_orig`` and the
    buffer ``weight_mask`` until the pruning is made permanent.

    Args:
        pruning_fn: ``"l1_unstructured"``, ``"random_unstructured"``, ``"ln_structured"``, ``"random_structured"``, or a
            class derived from ``torch.nn.utils.prune.BasePruningMethod``.
        parameters_to_prune: pairs of a module inside the model and a parameter's name; all that have one of
            ``parameter_names`` if empty.
        parameter_names: ``"weight"``, ``"bias"`` or (default) both.
        use_global_unstructured: compare the elements of all parameters with one another rather than each parameter's.
        amount: a share (float) or a number of elements (int), or a function from the epoch to one of them.
        apply_pruning: whether to prune, or a function from the epoch to that.
        make_pruning_permanent: remove masks from the model when training ends, and from what checkpoints hold.
        use_lottery_ticket_hypothesis: whether, or a function from the epoch to whether, the parameters go back to their
            initial values after each pruning.
        resample_parameters: go back to newly drawn initial values instead.
        pruning_dim: the dimension along which ``"…_structured"`` prunes.
        pruning_norm: the norm of ``"ln_structured"``.
        verbose: 1 logs the sparsity after each pruning, 2 each parameter's too.
        prune_on_train_epoch_end: prune at the end of training epochs; False at the end of validation.

    Raises:
        MisconfigurationException: arguments that are unknown, missing or contradict one another; (at the start)
            parameters that the model doesn't have.
    """

    PARAMETER_NAMES: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def __init__(
        self,
        pruning_fn: Callable[..., Any] | str,
        parameters_to_prune: Parameters = (),
        parameter_names: list[str] | None = None,
        use_global_unstructured: bool = True,
        amount: Amount | Callable[[int], Amount] = 0.5,
        apply_pruning: bool | Callable[[int], bool] = True,
        make_pruning_permanent: bool = True,
        use_lottery_ticket_hypothesis: bool | Callable[[int], bool] = True,
        resample_parameters: bool = False,
        pruning_dim: int | None = None,
        pruning_norm: int | None = None,
        verbose: int = 0,
        prune_on_train_epoch_end: bool = True,
    ):
        names = tuple(parameter_names or self.PARAMETER_NAMES)
        _check(names, self.PARAMETER_NAMES, amount, verbose)
        self._global = use_global_unstructured
        self._settings: dict[str, Any] = {}
        self._method_name = ""
        self.pruning_fn = self._resolve(pruning_fn, pruning_dim, pruning_norm)
        self.amount = amount
        self._given, self._names, self._parameters = parameters_to_prune, names, parameters_to_prune
        self._applies, self._permanent = apply_pruning, make_pruning_permanent
        self._ticket, self._resamples = use_lottery_ticket_hypothesis, resample_parameters
        self._verbose, self._after_training = verbose, prune_on_train_epoch_end
        self._initial: dict[int, nn.Module] = {}

    def _resolve(self, given: Any, dim: int | None, norm: int | None) -> Any:
        """What prunes: a method's class where all parameters are compared, torch's function for one parameter else."""
        if isinstance(given, str):
            name = given.lower()
            if name not in _METHODS:
                raise MisconfigurationException(
                    f"The provided `pruning_fn` {name} isn't available in PyTorch's built-in functions",
                    value=given,
                    valid=", ".join(_METHODS),
                )
            self._settings = _structured_settings(name, dim, norm)
            method, function = _METHODS[name]
        elif inspect.isclass(given) and issubclass(given, prune.BasePruningMethod):
            method = function = given
            if not self._global:
                raise MisconfigurationException(
                    "A PyTorch `BasePruningMethod` is only supported with `use_global_unstructured=True`", value=given
                )
        else:
            raise MisconfigurationException(
                "`pruning_fn` is neither the name of a method nor a PyTorch `BasePruningMethod`",
                value=given,
                valid=f"{', '.join(_METHODS)}, or a class derived from it",
                advice="Pass the class, not an instance.",
            )
        if self._global and method.PRUNING_TYPE != "unstructured":  # type: ignore[attr-defined]
            raise MisconfigurationException(
                'Only the "unstructured" PRUNING_TYPE is supported with `use_global_unstructured=True`',
                value=method,
                advice="Pass use_global_unstructured=False.",
            )
        found: Any = method if self._global else function
        self._method_name = found.__name__
        return found

    def filter_parameters_to_prune(self, parameters_to_prune: Parameters = ()) -> Parameters:
        """Override it to choose among the parameters that would be pruned."""
        return parameters_to_prune

    # Pruning ----------------------------------------------------------------------------------------------------

    def apply_pruning(self, amount: Amount) -> None:
        """Prune ``amount`` of each parameter, or of all together, now."""
        before = [_sparsity(module, name) for module, name in self._parameters] if self._verbose else []
        if self._global:
            settings = {**self._settings, "amount": amount}
            known = inspect.signature(self.pruning_fn).parameters
            usable = {key: value for key, value in settings.items() if key in known}
            prune.global_unstructured(self._parameters, pruning_method=self.pruning_fn, **usable)
        else:
            for module, name in self._parameters:
                self.pruning_fn(module, name=name, amount=amount, **self._settings)
        if self._verbose:
            self._log_sparsity(before, amount)

    def apply_lottery_ticket_hypothesis(self) -> None:
        """Give the parameters that are left their initial values back, or newly drawn ones.

        Train, prune, start again from where the training had begun, with the mask: Frankle and Carbin's procedure.
        """
        drawn: dict[int, nn.Module] = {}
        for module, name in self._parameters:
            initial = self._initial[id(module)]
            if self._resamples and callable(getattr(initial, "reset_parameters", None)):
                if id(module) not in drawn:
                    drawn[id(module)] = deepcopy(initial)
                    drawn[id(module)].reset_parameters()  # type: ignore[operator]
                initial = drawn[id(module)]
            target = getattr(module, f"{name}_orig", getattr(module, name))
            source = getattr(initial, name)
            if isinstance(target, torch.Tensor) and isinstance(source, torch.Tensor):
                with torch.no_grad():
                    target.copy_(source)

    def make_pruning_permanent(self, module: nn.Module) -> None:
        """Put the masked values in the place of the parameters, everywhere in ``module``."""
        for part in module.modules():
            for key, hook in list(part._forward_pre_hooks.items()):
                if isinstance(hook, prune.BasePruningMethod):
                    hook.remove(part)
                    del part._forward_pre_hooks[key]

    def _run(self, epoch: int) -> None:
        applies = self._applies(epoch) if callable(self._applies) else self._applies
        amount = self.amount(epoch) if callable(self.amount) else self.amount
        if not applies or not amount:
            return
        with torch.inference_mode(False):  # training goes on with masks that were made in validation
            self.apply_pruning(amount)
        if self._ticket(epoch) if callable(self._ticket) else self._ticket:
            self.apply_lottery_ticket_hypothesis()

    def _log_sparsity(self, before: list[tuple[int, int]], amount: Amount) -> None:
        after = [_sparsity(module, name) for module, name in self._parameters]
        total = sum(size for _, size in after)
        was, now = (sum(zeros for zeros, _ in stats) for stats in (before, after))
        _log.info(
            "Applied `%s`. Pruned: %d/%d (%.2f%%) -> %d/%d (%.2f%%)",
            *(self._method_name, was, total, 100 * was / total, now, total, 100 * now / total),
        )
        if self._verbose < 2:
            return
        for (module, name), (old, _), (new, size) in zip(self._parameters, before, after, strict=True):
            _log.info(
                "Applied `%s` to `%r.%s` with amount=%s. Pruned: %d (%.2f%%) -> %d (%.2f%%)",
                *(self._method_name, module, name, amount, old, 100 * old / size, new, 100 * new / size),
            )

    # Hooks ------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the parameters, and keep their initial values where they are needed."""
        found = self.sanitize_parameters_to_prune(pl_module, self._given, self._names)
        self._parameters = self.filter_parameters_to_prune(found)
        if not self._ticket:
            return
        known = self._initial
        # A module that an earlier fit has pruned can't be copied, and what it began with is kept already.
        self._initial = {
            id(module): known[id(module)] if prune.is_pruned(module) and id(module) in known else deepcopy(module)
            for module, _ in self._parameters
        }

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prune, unless that happens after validation."""
        if self._after_training:
            self._run(trainer.current_epoch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prune, if that happens here."""
        if not trainer.sanity_checking and not self._after_training:
            self._run(trainer.current_epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the masks."""
        if self._permanent:
            self.make_pruning_permanent(pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write plain, pruned weights; training goes on with the masks."""
        if self._permanent:
            checkpoint["state_dict"] = _without_masks(checkpoint["state_dict"])

    @staticmethod
    def sanitize_parameters_to_prune(
        pl_module: LightningModule, parameters_to_prune: Parameters = (), parameter_names: Sequence[str] = ()
    ) -> Parameters:
        """The parameters to prune: those given, once they are checked, or all that have the right names.

        Args:
            pl_module: the model.
            parameters_to_prune: pairs of module and name; empty for all.
            parameter_names: the names that count then.

        Raises:
            MisconfigurationException: something else than such pairs, or a pair that isn't in the model.
        """
        names = parameter_names or ModelPruning.PARAMETER_NAMES
        containers = nn.Sequential | nn.ModuleList | nn.ModuleDict
        modules = [one for one in pl_module.modules() if not isinstance(one, containers) and not _is_lightning(one)]
        if not parameters_to_prune:
            return [
                (module, name)
                for name in names
                for module in modules
                if isinstance(getattr(module, name, None), nn.Parameter)
                or isinstance(getattr(module, f"{name}_orig", None), nn.Parameter)
            ]
        if not isinstance(parameters_to_prune, list | tuple) or not all(map(_is_pair, parameters_to_prune)):
            raise MisconfigurationException(
                "The provided `parameters_to_prune` should either be list of tuple with 2 elements: (nn.Module, "
                "parameter_name_to_prune) or None",
                value=parameters_to_prune,
            )
        known = {id(module) for module in modules}
        missing = [(module, name) for module, name in parameters_to_prune if id(module) not in known]
        nameless = [(module, name) for module, name in parameters_to_prune if not hasattr(module, name)]
        if missing or nameless:
            raise MisconfigurationException(
                "Some provided `parameters_to_prune` don't exist in the model", value=[*missing, *nameless]
            )
        return parameters_to_prune


def _check(names: tuple[str, ...], valid: tuple[str, ...], amount: Any, verbose: Any) -> None:
    for name in names:
        if name not in valid:
            raise MisconfigurationException(
                f"The provided `parameter_names` name: {name} isn't in {valid}", value=name, valid=" or ".join(valid)
            )
    if not (isinstance(amount, int | float) or callable(amount)):
        raise MisconfigurationException(
            "`amount` should be provided and be either an int, a float or Callable function", value=amount
        )
    if verbose not in (0, 1, 2):
        raise MisconfigurationException("`verbose` must be any of (0, 1, 2)", value=verbose)


def _structured_settings(name: str, dim: int | None, norm: int | None) -> dict[str, Any]:
    if not name.endswith("_structured"):
        return {}
    if dim is None:
        raise MisconfigurationException("When requesting `structured` pruning, the `pruning_dim` should be provided")
    if name != "ln_structured":
        return {"dim": dim}
    if norm is None:
        raise MisconfigurationException(
            "When requesting `ln_structured` pruning, the `pruning_norm` should be provided"
        )
    return {"n": norm, "dim": dim}


def _is_lightning(module: nn.Module) -> bool:
    return callable(getattr(module, "training_step", None)) and hasattr(module, "configure_optimizers")


def _is_pair(item: Any) -> bool:
    return len(item) == 2 and isinstance(item[0], nn.Module) and isinstance(item[1], str)


def _sparsity(module: nn.Module, name: str) -> tuple[int, int]:
    """Elements that are pruned, and all of them."""
    mask = getattr(module, f"{name}_mask", None)
    return (0, getattr(module, name).numel()) if mask is None else (int((mask == 0).sum()), mask.numel())


def _without_masks(state: dict[str, Any]) -> dict[str, Any]:
    """A state_dict as it would be had the pruning been made permanent, on the host."""
    plain = {name: value.cpu() if isinstance(value, torch.Tensor) else value for name, value in state.items()}
    for key in [key for key in plain if key.endswith("_mask") and f"{key.removesuffix('_mask')}_orig" in plain]:
        name = key.removesuffix("_mask")
        values, mask = plain.pop(f"{name}_orig"), plain.pop(key)
        plain[name] = mask.to(values.dtype) * values
    return plain
