"""Making objects from ``class_path`` and ``init_args``, and remembering how, so that a checkpoint can make them again.

It must not know the command line that asks for it.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from lit_studio.command_line.parser import ArgumentParser, require_jsonargparse
from lit_studio.trainer.hyperparameters import CLASS_PATH, given_hyperparameters


def instantiate_class(args: Any, init: Mapping[str, Any]) -> Any:
    """An object of the class that ``init`` names.

    Args:
        args: positional arguments, a tuple if there are several.
        init: ``{"class_path": "package.Class", "init_args": {…}}``.

    Raises:
        ImportError, AttributeError: there is no such class.
    """
    cls = _class_at(init["class_path"])
    return cls(*(args if isinstance(args, tuple) else (args,)), **init.get("init_args", {}))


def instantiate_module(class_type: type[Any], config: Mapping[str, Any]) -> Any:
    """A module or datamodule made from what a command line gave; what ``load_from_checkpoint`` calls.

    Args:
        class_type: the class, or the base of the one that ``config`` names as ``_class_path``.
        config: its arguments, plain values, nested objects as ``class_path`` and ``init_args``.
    """
    require_jsonargparse()
    parser = ArgumentParser(exit_on_error=False)
    given: dict[str, Any] = with_our_names(config)
    if CLASS_PATH in given:
        parser.add_subclass_arguments(class_type, "module", fail_untyped=False)
        given = {"class_path": given.pop(CLASS_PATH), "dict_kwargs": given}
    else:
        parser.add_class_arguments(class_type, "module", fail_untyped=False)
    # Kept again as they were, so that the module's next checkpoint can be loaded too.
    maker = recorder("module", lambda: {"module": given})
    parsed = parser.parse_object({"module": copy.deepcopy(given)})  # parsing moves arguments about in it
    return parser.instantiate(parsed, instantiators=[(maker, class_type, CLASS_PATH in config)]).module


def recorder(key: str, read_config: Callable[[], Mapping[str, Any]]) -> Callable[..., Any]:
    """What jsonargparse is to make modules with, so that ``save_hyperparameters`` keeps the parsed arguments.

    Args:
        key: where the module stands in the command line's configuration.
        read_config: returns that configuration in plain values.
    """

    def make(class_type: type[Any], *args: Any, applied_instantiation_links: dict[str, Any], **kwargs: Any) -> Any:
        parsed = dict(read_config().get(key) or {})
        if "class_path" in parsed:
            if _class_at(parsed["class_path"]) is not class_type:
                return class_type(*args, **kwargs)  # a module that is an argument of the one that was asked for
            # Flat, so that a checkpoint's hyper-parameters look the same however the class was chosen.
            named = {CLASS_PATH: parsed["class_path"]}
            parsed = {**named, **(parsed.get("init_args") or {}), **(parsed.get("dict_kwargs") or {})}
        for target, value in applied_instantiation_links.items():
            owner, _, name = target.partition(".")
            if owner == key:
                _put(parsed, name.removeprefix("init_args.").split("."), value)
        with given_hyperparameters(class_type, parsed):
            return class_type(*args, **kwargs)

    return make


def with_our_names(config: Any) -> Any:
    """``config`` with the class paths that Lightning wrote replaced by the doors of the same name here."""
    if isinstance(config, Mapping):
        return {
            name: _our_name(value) if name in ("class_path", CLASS_PATH) else with_our_names(value)
            for name, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(map(with_our_names, config))
    return config


def _class_at(path: str) -> Any:
    where, _, name = path.rpartition(".")
    return getattr(importlib.import_module(where), name)


def _our_name(path: Any) -> Any:
    for theirs, ours in (("lightning.", "lit_studio."), ("pytorch_lightning.", "lit_studio.pytorch.")):
        if isinstance(path, str) and path.startswith(theirs):
            return ours + path.removeprefix(theirs)
    return path


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value
