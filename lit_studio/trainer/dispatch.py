"""Which hooks are overridden, found once per call, so that the others cost nothing.

It must not know what a hook is for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from lit_studio.trainer.hooks import CheckpointHooks, DataHooks, ModelHooks

if TYPE_CHECKING:
    from lit_studio.trainer.results import Results


@cache
def _default_of(base: type, name: str) -> Any:
    return inspect.getattr_static(base, name, None)


def overrides(instance: Any, name: str, base: type | None = None) -> bool:
    """Whether ``instance`` has a ``name`` of its own, in its class or on itself.

    Args:
        instance: a module, datamodule or callback.
        name: the hook.
        base: the class whose ``name`` counts as the default; by default the face that ``instance`` derives from.
    """
    held = getattr(instance, "__dict__", {})
    if name in held:
        return held[name] is not None  # ``model.validation_step = None`` takes the step away
    own = inspect.getattr_static(type(instance), name, None)
    if own is None:
        # By type: a mock that stands for a callback says that it is one, and wants to be called.
        return hasattr(instance, name) and not issubclass(type(instance), _faces())
    return all(own is not _default_of(face, name) for face in ((base,) if base else _faces()))


@cache
def _faces() -> tuple[type, ...]:
    from lit_studio.callbacks.base import Callback
    from lit_studio.trainer.datamodule import LightningDataModule
    from lit_studio.trainer.module import LightningModule

    return (LightningModule, LightningDataModule, Callback, ModelHooks, DataHooks, CheckpointHooks)


def _is_idle(callback: Any, name: str) -> bool:
    ask = getattr(type(callback), "_is_idle_in", None)  # a callback need not derive from ours
    return ask is not None and ask(callback, name)


class Hook:
    """One hook with everybody who overrides it; calling it calls them in order.

    Callbacks are called with trainer and module first, the module's own hook with the rest only. The value of the
    module's own hook is returned.
    """

    __slots__ = ("_after", "_before", "_module", "_own", "_results", "_scope", "_trainer", "name")

    def __init__(self, name: str, trainer: Any, module: Any, callbacks: Iterable[Any], results: Results):
        self.name = name
        self._trainer, self._module = trainer, module
        late = name == "on_train_epoch_end"  # those that monitor a metric must see what the module logs here
        found = [callback for callback in callbacks if overrides(callback, name) and not _is_idle(callback, name)]
        self._before = tuple(_method(trainer, c, name) for c in found if not (late and _monitors(c)))
        self._after = tuple(_method(trainer, c, name) for c in found if late and _monitors(c))
        self._own = _method(trainer, module, name) if overrides(module, name) else None
        self._results, self._scope = results, results.scope_of(name)

    def __bool__(self) -> bool:
        return bool(self._before or self._after or self._own is not None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call everybody with ``args`` and ``kwargs``."""
        results = self._results
        for hook in self._before:
            results.scope = self._scope  # again each time: a hook may itself have run others
            hook(self._trainer, self._module, *args, **kwargs)
        answer = None
        if self._own is not None:
            results.scope = self._scope
            answer = self._own(*args, **kwargs)
        for hook in self._after:
            results.scope = self._scope
            hook(self._trainer, self._module, *args, **kwargs)
        return answer


class Dispatcher:
    """Finds the hooks of one call's trainer, module and callbacks."""

    def __init__(self, trainer: Any, module: Any, callbacks: Iterable[Any], results: Results):
        self._trainer, self._module, self._callbacks = trainer, module, list(callbacks)
        self._results = results
        self._found: dict[str, Hook | None] = {}

    def find(self, name: str) -> Hook | None:
        """The hook ``name``, or None if nobody overrides it."""
        if name not in self._found:
            hook = Hook(name, self._trainer, self._module, self._callbacks, self._results)
            self._found[name] = hook or None
        return self._found[name]

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call the hook ``name``, if anybody overrides it."""
        hook = self.find(name)
        return hook(*args, **kwargs) if hook is not None else None

    def call_own(self, name: str) -> None:
        """Call a hook that only the module has and whose default does something."""
        getattr(self._module, name)()


def _method(trainer: Any, owner: Any, name: str) -> Callable[..., Any]:
    method: Callable[..., Any] = getattr(owner, name)
    return trainer.profiled(f"{type(owner).__qualname__}.{name}", method) if trainer.profiles else method


def _monitors(callback: Any) -> bool:
    from lit_studio.callbacks import Checkpoint, EarlyStopping

    return isinstance(callback, Checkpoint | EarlyStopping)


def accepts(function: Callable[..., Any], name: str, at_least: int) -> bool:
    """Whether ``function`` takes an argument called ``name``, any number of arguments, or ``at_least`` so many."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    kinds = {parameter.kind for parameter in parameters.values()}
    positional = [p for p in parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    return name in parameters or inspect.Parameter.VAR_POSITIONAL in kinds or len(positional) >= at_least


def requires(function: Callable[..., Any], name: str) -> bool:
    """Whether ``function`` has an argument called ``name`` without a default."""
    try:
        parameter = inspect.signature(function).parameters.get(name)
    except (TypeError, ValueError):
        return False
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter is not None and parameter.default is parameter.empty and parameter.kind not in variadic
