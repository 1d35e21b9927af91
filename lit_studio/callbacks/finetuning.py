"""The callbacks that train a part of a model first and the rest later.

It must not know how the optimizers were made: they freeze parameters and add parameter groups.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from lit_studio.base.errors import MisconfigurationException
from lit_studio.callbacks.base import Callback

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

_log = logging.getLogger(__name__)
Modules = nn.Module | Iterable[Any]


def multiplicative(epoch: int) -> float:
    """The factor by which the backbone's learning rate grows each epoch: 2."""
    return 2.0


class BaseFinetuning(Callback):
    """Subclass it: :meth:`freeze_before_training` freezes, :meth:`finetune_function` thaws, epoch by epoch.

    The parameter groups that were added are kept in checkpoints and made again on a resume, so ``configure_optimizers``
    should hand only trainable parameters to the optimizer:
    ``filter(lambda p: p.requires_grad, self.parameters())``.
    """

    def __init__(self) -> None:
        self._groups: dict[int, list[dict[str, Any]]] = {}
        self._thawed: list[str] | None = None
        self._restarting = False

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        """Freeze what is not to be trained at first; called before the optimizers are made."""
        raise NotImplementedError

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: Optimizer) -> None:
        """Thaw what this epoch is to train, for each optimizer."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Each optimizer's parameter groups, parameters by name, and what is thawed."""
        return {"internal_optimizer_metadata": self._groups, "thawed": self._thawed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the groups until the optimizers exist."""
        self._restarting = True
        self._groups = state_dict.get("internal_optimizer_metadata", {})
        self._thawed = state_dict.get("thawed")  # a file that Lightning wrote says only what the groups hold

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Freeze."""
        if stage == "fit":
            self._groups, self._thawed, self._restarting = {}, None, False
        self.freeze_before_training(pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """On a resume: make the groups again and thaw what was thawed."""
        if not self._restarting:
            return
        self._restarting = False
        parameters = dict(pl_module.named_parameters())
        for number, optimizer in enumerate(trainer.optimizers):
            held = {id(p) for group in optimizer.param_groups for p in group["params"]}
            for group in self._groups.get(number, [])[len(optimizer.param_groups) :]:
                members = [parameters[name] for name in group["params"] if id(parameters[name]) not in held]
                for parameter in members:
                    parameter.requires_grad = True
                optimizer.add_param_group({**group, "params": members})
        if self._thawed is not None:
            self._thaw(pl_module, set(self._thawed))

    @staticmethod
    def _thaw(pl_module: LightningModule, names: set[str]) -> None:
        for name, parameter in pl_module.named_parameters():
            parameter.requires_grad = name in names
        for name, module in pl_module.named_modules():
            if isinstance(module, _BatchNorm):
                module.track_running_stats = name in names

    @staticmethod
    def _find_thawed(pl_module: LightningModule) -> list[str]:
        """Parameters that require gradients, and BatchNorm modules that follow their input."""
        parameters = [name for name, parameter in pl_module.named_parameters() if parameter.requires_grad]
        norms = ((name, module) for name, module in pl_module.named_modules() if isinstance(module, _BatchNorm))
        return [*parameters, *(name for name, module in norms if module.track_running_stats)]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Thaw, and take note of the groups that were added."""
        names = {id(parameter): name for name, parameter in pl_module.named_parameters()}
        for number, optimizer in enumerate(trainer.optimizers):
            self.finetune_function(pl_module, trainer.current_epoch, optimizer)
            self._groups[number] = [
                {**group, "params": [names[id(p)] for p in group["params"]]} for group in optimizer.param_groups
            ]
        self._thawed = self._find_thawed(pl_module)

    @staticmethod
    def flatten_modules(modules: Modules) -> list[nn.Module]:
        """Every module in ``modules`` (nested as you like) that has parameters of its own or no children."""
        if isinstance(modules, nn.Module):
            found = list(modules.modules())
        else:
            found = [inner for item in modules for inner in BaseFinetuning.flatten_modules(item)]
        return [module for module in found if not list(module.children()) or module._parameters]

    @staticmethod
    def filter_params(modules: Modules, train_bn: bool = True, requires_grad: bool = True) -> Iterator[nn.Parameter]:
        """The parameters with this ``requires_grad``, BatchNorm's only with ``train_bn``."""
        for module in BaseFinetuning.flatten_modules(modules):
            if isinstance(module, _BatchNorm) and not train_bn:
                continue
            for parameter in module.parameters(recurse=False):
                if parameter.requires_grad == requires_grad:
                    yield parameter

    @staticmethod
    def make_trainable(modules: Modules) -> None:
        """Thaw every module in ``modules``."""
        for module in BaseFinetuning.flatten_modules(modules):
            if isinstance(module, _BatchNorm):
                module.track_running_stats = True
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad = True

    @staticmethod
    def freeze_module(module: nn.Module) -> None:
        """Freeze this module's own parameters, and BatchNorm's statistics."""
        if isinstance(module, _BatchNorm):
            module.track_running_stats = False
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad = False

    @staticmethod
    def freeze(modules: Modules, train_bn: bool = True) -> None:
        """Freeze every module in ``modules``; BatchNorm goes on being trained with ``train_bn``."""
        for module in BaseFinetuning.flatten_modules(modules):
            if isinstance(module, _BatchNorm) and train_bn:
                BaseFinetuning.make_trainable(module)
            else:
                BaseFinetuning.freeze_module(module)

    @staticmethod
    def filter_on_optimizer(optimizer: Optimizer, params: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        """Those of ``params`` that ``optimizer`` doesn't hold yet; warns if it holds some."""
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        params = list(params)
        fresh = [parameter for parameter in params if id(parameter) not in held]
        if len(fresh) < len(params):
            warnings.warn(
                f"The provided params to be frozen already belong to this optimizer: {len(params) - len(fresh)} of "
                "them are skipped. Did you init your optimizer in `configure_optimizers` with those that are trainable "
                "from the start, filter(lambda p: p.requires_grad, self.parameters())?",
                stacklevel=2,
            )
        return fresh

    @staticmethod
    def unfreeze_and_add_param_group(
        modules: Modules,
        optimizer: Optimizer,
        lr: float | None = None,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
    ) -> None:
        """Thaw ``modules`` and give their parameters to ``optimizer`` as a new group.

        Args:
            modules: what to thaw.
            optimizer: gets the group.
            lr: the group's learning rate; None takes the first group's divided by ``initial_denom_lr``.
            initial_denom_lr: see ``lr``.
            train_bn: whether BatchNorm's parameters are among them.
        """
        BaseFinetuning.make_trainable(modules)
        rate = optimizer.param_groups[0]["lr"] / initial_denom_lr if lr is None else lr
        candidates = BaseFinetuning.filter_params(modules, train_bn=train_bn, requires_grad=True)
        if params := BaseFinetuning.filter_on_optimizer(optimizer, candidates):
            optimizer.add_param_group({"params": params, "lr": rate})


class BackboneFinetuning(BaseFinetuning):
    """Trains the module's ``backbone`` only from a given epoch on, with a learning rate of its own that grows.

    Args:
        unfreeze_backbone_at_epoch: the epoch (from 0) that thaws it.
        lambda_func: the factor by which its rate grows, by epoch.
        backbone_initial_ratio_lr: its first rate, as a share of the first group's.
        backbone_initial_lr: its first rate; beats the ratio.
        should_align: whether its rate stops growing at the first group's.
        initial_denom_lr: kept for callers; the first rate is always given here.
        train_bn: whether BatchNorm in the backbone is among what is thawed; before that it is trained anyway.
        verbose: whether to log both rates each epoch.
        rounding: digits of the logged rates.

    Raises:
        MisconfigurationException: (at the start) the module has no ``backbone``.
    """

    def __init__(
        self,
        unfreeze_backbone_at_epoch: int = 10,
        lambda_func: Callable[[int], float] = multiplicative,
        backbone_initial_ratio_lr: float = 10e-2,
        backbone_initial_lr: float | None = None,
        should_align: bool = True,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
        verbose: bool = False,
        rounding: int = 12,
    ):
        super().__init__()
        self.unfreeze_backbone_at_epoch = unfreeze_backbone_at_epoch
        self.lambda_func = lambda_func
        self.backbone_initial_ratio_lr = backbone_initial_ratio_lr
        self.backbone_initial_lr = backbone_initial_lr
        self.should_align = should_align
        self.initial_denom_lr = initial_denom_lr
        self.train_bn = train_bn
        self.verbose = verbose
        self.rounding = rounding
        self.previous_backbone_lr: float | None = None

    def state_dict(self) -> dict[str, Any]:
        """The groups and the backbone's rate."""
        return {**super().state_dict(), "previous_backbone_lr": self.previous_backbone_lr}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take both up again."""
        self.previous_backbone_lr = state_dict["previous_backbone_lr"]
        super().load_state_dict(state_dict)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that there is a backbone, and freeze it."""
        if not isinstance(getattr(pl_module, "backbone", None), nn.Module):
            raise MisconfigurationException(
                "BackboneFinetuning needs a module with an attribute `backbone` that is a nn.Module",
                advice="Name it so, or subclass BaseFinetuning.",
            )
        if stage == "fit":
            self.previous_backbone_lr = None
        super().setup(trainer, pl_module, stage)

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        """Freeze the backbone; its BatchNorm is trained from the start, whatever ``train_bn`` is."""
        self.freeze(pl_module.backbone)

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: Optimizer) -> None:
        """Thaw the backbone at its epoch, then let its rate grow."""
        head_lr = optimizer.param_groups[0]["lr"]
        if epoch == self.unfreeze_backbone_at_epoch:
            first = self.backbone_initial_lr
            rate = head_lr * self.backbone_initial_ratio_lr if first is None else first
            self.unfreeze_and_add_param_group(
                pl_module.backbone, optimizer, rate, self.initial_denom_lr, train_bn=self.train_bn
            )
        elif epoch > self.unfreeze_backbone_at_epoch and self.previous_backbone_lr is not None:
            rate = self.lambda_func(epoch + 1) * self.previous_backbone_lr
            if self.should_align:
                rate = min(rate, head_lr)
            optimizer.param_groups[-1]["lr"] = rate
        else:
            return
        self.previous_backbone_lr = rate
        if self.verbose:
            _log.info("Learning rates: head %s, backbone %s", round(head_lr, self.rounding), round(rate, self.rounding))
