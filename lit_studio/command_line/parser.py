"""The argument parser of a training program: jsonargparse's, and what it must learn about torch's and our classes.

It must not know in which order a command line is built, parsed and run.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Union

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lit_studio.base.errors import InvalidTypeError, MisconfigurationException, MissingDependencyError
from lit_studio.callbacks import Callback
from lit_studio.trainer.datamodule import LightningDataModule
from lit_studio.trainer.module import LightningModule
from lit_studio.trainer.trainer import Trainer

# The parser needs both; the extra brings both.
INSTALLED = find_spec("jsonargparse") is not None and find_spec("docstring_parser") is not None

if TYPE_CHECKING or INSTALLED:
    import jsonargparse
    from jsonargparse import ArgumentParser, Namespace

    # torch's classes say that they are defined where they can't be imported from.
    jsonargparse.register_unresolvable_import_paths(torch)
    if find_spec("fsspec") is not None:
        jsonargparse.set_parsing_settings(config_read_mode_fsspec_enabled=True)
else:  # the names exist, so that programs that only mention them can be imported
    ArgumentParser = Namespace = object

AUTOMATIC = "AUTOMATIC"
# By room: the door whose names are written into configurations and checkpoints, for they outlive our inside.
_DOORS = {
    "lit_studio.callbacks": "lit_studio.pytorch.callbacks",
    "lit_studio.trainer.accelerators": "lit_studio.pytorch.accelerators",
    "lit_studio.command_line": "lit_studio.pytorch.cli",
    "lit_studio.loggers": "lit_studio.pytorch.loggers",
    "lit_studio.trainer.precision": "lit_studio.pytorch.plugins",
    "lit_studio.profilers": "lit_studio.pytorch.profilers",
    "lit_studio.trainer.strategies": "lit_studio.pytorch.strategies",
}


class ReduceLROnPlateau(torch.optim.lr_scheduler.ReduceLROnPlateau):
    """torch's scheduler of this name with the metric it watches, so that a command line can name both at once.

    Args:
        optimizer: whose learning rate is lowered.
        monitor: the logged metric that decides.
        args: torch's own arguments.
        kwargs: torch's own arguments.
    """

    def __init__(self, optimizer: Optimizer, monitor: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(optimizer, *args, **kwargs)
        self.monitor = monitor


# torch's own ReduceLROnPlateau is an LRScheduler too, but says no metric.
LRSchedulerTypeTuple = (LRScheduler, ReduceLROnPlateau)
LRSchedulerTypeUnion = Union[LRScheduler, ReduceLROnPlateau]  # noqa: UP007 - users' annotations are built from it
LRSchedulerType = Union[type[LRScheduler], type[ReduceLROnPlateau]]  # noqa: UP007
ArgsType = Union[list[str], dict[str, Any], Namespace, None]  # noqa: UP007
OptimizerCallable = Callable[[Iterable[Any]], Optimizer]
LRSchedulerCallable = Callable[[Optimizer], Union[LRScheduler, ReduceLROnPlateau]]  # noqa: UP007


class LightningArgumentParser(ArgumentParser):
    """A parser to which modules, datamodules, callbacks, optimizers and schedulers can be added by their classes.

    Args:
        args: jsonargparse's own arguments.
        description: what ``--help`` begins with.
        env_prefix: what the names of environment variables begin with.
        default_env: whether values are taken from the environment too.
        kwargs: jsonargparse's own arguments.

    Attributes:
        callback_keys: the keys under which callbacks were added.

    Raises:
        MissingDependencyError: jsonargparse is not installed.
    """

    def __init__(
        self,
        *args: Any,
        description: str = "Lit Studio Trainer command line tool",
        env_prefix: str = "PL",
        default_env: bool = False,
        **kwargs: Any,
    ) -> None:
        require_jsonargparse()
        name_by_doors()
        super().__init__(*args, description=description, env_prefix=env_prefix, default_env=default_env, **kwargs)
        self.callback_keys: list[str] = []
        # What modules are made with, as ``instantiate`` takes it.
        self.makers: list[tuple[Callable[..., Any], type[Any], bool]] = []
        # By key: the class or classes that may stand there, and the argument that gets the choice.
        self._optimizers: dict[str, tuple[Any, str]] = {}
        self._lr_schedulers: dict[str, tuple[Any, str]] = {}

    def add_lightning_class_args(
        self, lightning_class: Any, nested_key: str, subclass_mode: bool = False, required: bool = True
    ) -> list[str]:
        """Add the arguments of a class under a key; what is added as a callback joins the trainer's callbacks.

        Args:
            lightning_class: a Trainer, LightningModule, LightningDataModule or Callback class, or a function whose
                return annotation is one.
            nested_key: the key.
            subclass_mode: take the class itself (``class_path``) as an argument; ``lightning_class`` is its base.
            required: whether ``subclass_mode``'s argument must be given.

        Returns:
            The keys that were added.

        Raises:
            MisconfigurationException: ``lightning_class`` is something else.
        """
        if callable(lightning_class) and not isinstance(lightning_class, type):
            lightning_class = jsonargparse.class_from_function(lightning_class)
        known = (Trainer, LightningModule, LightningDataModule, Callback)
        if not (isinstance(lightning_class, type) and issubclass(lightning_class, known)):
            raise MisconfigurationException(
                f"Cannot add arguments from: {lightning_class}. You should provide either a callable or a subclass of: "
                + ", ".join(one.__name__ for one in known)
            )
        if issubclass(lightning_class, Callback):
            self.callback_keys.append(nested_key)
        if subclass_mode:
            return self.add_subclass_arguments(lightning_class, nested_key, fail_untyped=False, required=required)
        return self.add_class_arguments(
            lightning_class,
            nested_key,
            fail_untyped=False,
            # The command line adds callbacks before it makes the trainer.
            instantiate=not issubclass(lightning_class, Trainer),
            sub_configs=True,
        )

    def add_optimizer_args(
        self, optimizer_class: Any = (Optimizer,), nested_key: str = "optimizer", link_to: str = AUTOMATIC
    ) -> None:
        """Add the arguments of an optimizer.

        Args:
            optimizer_class: the class, or a tuple of classes of which any subclass may be chosen.
            nested_key: the key.
            link_to: the argument that gets the choice as a dict of ``class_path`` and ``init_args``, for
                :func:`instantiate_class`; ``"AUTOMATIC"`` makes the module's ``configure_optimizers``.

        Raises:
            InvalidTypeError: a class is no optimizer.
        """
        self._add_choice(optimizer_class, nested_key, (Optimizer,), skip="params")
        self._optimizers[nested_key] = (optimizer_class, link_to)

    def add_lr_scheduler_args(
        self, lr_scheduler_class: Any = LRSchedulerTypeTuple, nested_key: str = "lr_scheduler", link_to: str = AUTOMATIC
    ) -> None:
        """Add the arguments of a learning rate scheduler; as :meth:`add_optimizer_args`.

        Args:
            lr_scheduler_class: the class, or a tuple of classes of which any subclass may be chosen.
            nested_key: the key.
            link_to: as for optimizers.

        Raises:
            InvalidTypeError: a class is no scheduler.
        """
        self._add_choice(lr_scheduler_class, nested_key, LRSchedulerTypeTuple, skip="optimizer")
        self._lr_schedulers[nested_key] = (lr_scheduler_class, link_to)

    def instantiate(
        self, namespace: Namespace, instantiate_groups: bool = True, *, instantiators: Any = None
    ) -> Namespace:
        """The configuration with objects in place of their descriptions.

        Args:
            namespace: what was parsed.
            instantiate_groups: as in jsonargparse.
            instantiators: as in jsonargparse; by default the command line's.
        """
        makers = instantiators or self.makers or None
        return super().instantiate(namespace, instantiate_groups, instantiators=makers)

    def __getstate__(self) -> dict[str, Any]:
        # A callback takes the parser to other ranks, where the modules are made already.
        return {**self.__dict__, "makers": []}

    def _add_choice(self, chosen: Any, key: str, bases: tuple[type, ...], skip: str) -> None:
        for one in chosen if isinstance(chosen, tuple) else (chosen,):
            if not (isinstance(one, type) and issubclass(one, bases)):
                raise InvalidTypeError(
                    f"Cannot add {key!r} arguments", value=one, valid=f"a subclass of {bases[0].__name__}"
                )
        # What ``skip`` names is only known once the module exists.
        options: dict[str, Any] = {"instantiate": False, "fail_untyped": False, "skip": {skip}}
        if isinstance(chosen, tuple):
            self.add_subclass_arguments(chosen, key, **options)
        else:
            self.add_class_arguments(chosen, key, sub_configs=True, **options)


def name_by_doors() -> None:
    """Have the parser write the public name of each class that a door exports."""
    # The parser's memory of names is private: where it is kept otherwise, names of our inside are written, which work.
    remembered = getattr(getattr(jsonargparse, "_util", None), "resolved_import_paths", None)
    if remembered is None:
        return
    for room, door in _DOORS.items():
        exported = importlib.import_module(door)
        for name in exported.__all__:
            value = getattr(exported, name)
            if isinstance(value, type) and value.__module__.startswith(room):
                remembered.add(value, f"{door}.{name}")


def require_jsonargparse() -> None:
    """Raise MissingDependencyError where jsonargparse isn't installed."""
    if not INSTALLED:
        raise MissingDependencyError("jsonargparse[signatures]", extra="cli", purpose="LightningCLI")
