"""Asking objects about themselves: which hooks they have and what they were made with.

It must not know the trainer's state: it reads signatures and frames.
"""

from __future__ import annotations

import inspect
import pickle
import warnings
from collections.abc import Callable, MutableMapping
from types import FrameType
from typing import Any

from lit_studio.base.errors import InvalidValueError
from lit_studio.trainer.dispatch import overrides


def is_overridden(method_name: str, instance: Any, parent: type | None = None) -> bool:
    """Whether ``instance`` has a ``method_name`` of its own.

    Args:
        method_name: the hook.
        instance: a module, datamodule or callback; None has nothing.
        parent: the class whose method counts as the default; by default the face that ``instance`` derives from.

    Raises:
        InvalidValueError: ``instance`` derives from none of the three and there is no ``parent``.
    """
    if instance is None:
        return False
    if parent is None and not _is_known(instance):
        raise InvalidValueError("Expected a parent", value=type(instance).__name__, advice="Pass `parent=`.")
    return overrides(instance, method_name, parent)


def _is_known(instance: Any) -> bool:
    from lit_studio.callbacks.base import Callback
    from lit_studio.trainer.datamodule import LightningDataModule
    from lit_studio.trainer.module import LightningModule

    return isinstance(instance, LightningModule | LightningDataModule | Callback)


def is_param_in_hook_signature(
    hook_fx: Callable[..., Any], param: str, explicit: bool = False, min_args: int | None = None
) -> bool:
    """Whether a hook takes an argument.

    Args:
        hook_fx: the hook.
        param: the argument's name.
        explicit: count only the name itself.
        min_args: so many arguments count as taking it, too.
    """
    parameters = inspect.signature(hook_fx).parameters
    if param in parameters or explicit:
        return param in parameters
    kinds = [one.kind for one in parameters.values()]
    return inspect.Parameter.VAR_POSITIONAL in kinds or (min_args is not None and len(kinds) >= min_args)


def is_picklable(obj: object) -> bool:
    """Whether ``pickle`` takes ``obj``."""
    try:
        pickle.dumps(obj)
    except (pickle.PickleError, AttributeError, RuntimeError, TypeError):
        return False
    return True


def clean_namespace(hparams: MutableMapping[str, Any]) -> None:
    """Take out of ``hparams`` what can't be pickled, each with a warning."""
    for name in [name for name, value in hparams.items() if not is_picklable(value)]:
        warnings.warn(
            f"Attribute {name!r} removed from hparams because it cannot be pickled. You can suppress this warning by "
            f"setting `self.save_hyperparameters(ignore=[{name!r}])`.",
            stacklevel=2,
        )
        del hparams[name]


# Arguments of a constructor -------------------------------------------------------------------------------------


def parse_class_init_keys(cls: type[Any]) -> tuple[str, str | None, str | None]:
    """What ``cls.__init__`` calls ``self``, ``*args`` and ``**kwargs``; None for those that it hasn't."""
    parameters = inspect.signature(cls.__init__).parameters
    by_kind = {one.kind: one.name for one in parameters.values()}
    rest = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    args, kwargs = (by_kind.get(kind) for kind in rest)
    return next(iter(parameters)), args, kwargs


def get_init_args(frame: FrameType) -> dict[str, Any]:
    """The arguments of the ``__init__`` that ``frame`` runs, those in ``**kwargs`` too; empty for another frame."""
    cls = frame.f_locals.get("__class__")
    if cls is None or frame.f_code.co_name != "__init__":
        return {}
    own, args, kwargs = parse_class_init_keys(cls)
    found = {name: frame.f_locals[name] for name in inspect.signature(cls.__init__).parameters}
    more = found.get(kwargs, {}) if kwargs else {}
    return {name: value for name, value in {**found, **more}.items() if name not in (own, args, kwargs)}


def collect_init_args(
    frame: FrameType, path_args: list[dict[str, Any]], inside: bool = False, classes: tuple[type, ...] = ()
) -> list[dict[str, Any]]:
    """The arguments of each ``__init__`` on the way from a base class's to the one that a caller called.

    Args:
        frame: the innermost frame to look at.
        path_args: what was found so far; it is added to.
        inside: whether such an ``__init__`` was met already, so that the first other frame ends the search.
        classes: only those of objects of these classes count; all if empty.
    """
    current: FrameType | None = frame
    while current is not None and current.f_back is not None:
        own = current.f_locals.get(next(iter(current.f_code.co_varnames), ""), None)
        if "__class__" in current.f_locals and (not classes or isinstance(own, classes)):
            path_args.append(get_init_args(current))
            inside = True
        elif inside:
            break
        current = current.f_back
    return path_args


def save_hyperparameters(
    obj: Any,
    *args: Any,
    ignore: Any = None,
    frame: FrameType | None = None,
    given_hparams: dict[str, Any] | None = None,
) -> None:
    """``obj.save_hyperparameters``, from outside.

    Args:
        obj: a module or a datamodule whose ``__init__`` runs.
        args: as there.
        ignore: as there.
        frame: the frame of ``__init__``; the caller's by default.
        given_hparams: keep these instead of the arguments that the frame shows.
    """
    if given_hparams is not None:
        chosen = [name for name in args if isinstance(name, str)] or list(given_hparams)
        skipped = {ignore} if isinstance(ignore, str) else set(ignore or ())
        obj.save_hyperparameters({name: given_hparams[name] for name in chosen if name not in skipped}, frame=frame)
        return
    if frame is None:
        current = inspect.currentframe()
        frame = current.f_back if current is not None else None
    obj.save_hyperparameters(*args, ignore=ignore, frame=frame)
