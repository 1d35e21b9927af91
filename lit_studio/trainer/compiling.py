"""Compiling a module for the time of a call: its repeated blocks one by one, where it has some, else its parts.

It must not know the loop: it chooses what to hand to ``torch.compile``, and undoes that when the call is over.

A model of many equal blocks compiles one block and uses the result for all of them, so the first step comes after
seconds and not after minutes, at nearly the speed of the whole model compiled (PyTorch calls it regional compilation).
"""

from __future__ import annotations

import inspect
import logging
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from lit_studio.base.errors import InvalidTypeError, InvalidValueError, MisconfigurationException
from lit_studio.trainer.dispatch import overrides

_log = logging.getLogger("lit_studio")
MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
_COMPILERS = ("c++", "g++", "clang++", "cl")


def resolve_compile(given: bool | str | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The options for ``torch.compile`` that ``Trainer(compile=…)`` means; None for not at all.

    Args:
        given: True, a mode's name, or a dict of ``torch.compile``'s keywords.

    Raises:
        InvalidValueError: an unknown mode or keyword.
        InvalidTypeError: something else.
    """
    if given is None or given is False:
        return None
    if given is True:
        return {}
    if isinstance(given, str):
        if given not in MODES:
            raise InvalidValueError("compile names no mode", value=given, valid=f"True or one of {', '.join(MODES)}")
        return {"mode": given}
    if not isinstance(given, Mapping):
        raise InvalidTypeError("compile has the wrong type", value=given, valid="a bool, a mode or a dict of options")
    known = [name for name in inspect.signature(torch.compile).parameters if name != "model"]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InvalidValueError("torch.compile has no such options", value=unknown, valid=", ".join(known))
    return dict(given)


class Compilation:
    """What is compiled of a module in one call of the Trainer.

    Args:
        options: for ``torch.compile``; None compiles nothing.
    """

    def __init__(self, options: Mapping[str, Any] | None):
        self.options = options
        self._compiled: list[nn.Module] = []

    def apply(self, module: nn.Module, device: torch.device) -> None:
        """Compile the regions of ``module`` in place; their parameters and the names in the state stay as they are.

        Args:
            module: before a strategy wraps it.
            device: where it will lie.

        Raises:
            MisconfigurationException: the machine lacks what the default backend compiles with.
        """
        if self.options is None:
            return
        if self.options.get("backend", "inductor") == "inductor":
            _check_compiler(device)
        found = [part for part in regions(module) if part._compiled_call_impl is None]
        if not found:
            _log.warning(
                "Trainer(compile=…) found nothing to compile: %s has neither blocks of layers nor a `forward`. Call "
                "torch.compile on what its steps use.",
                type(module).__name__,
            )
        for part in found:
            part.compile(**self.options)
        self._compiled = found
        counts = Counter(type(part).__name__ for part in found)
        if counts:
            words = ", ".join(f"{count} × {name}" if count > 1 else name for name, count in counts.items())
            _log.info("Compiling %s; the first steps take longer.", words)

    def undo(self) -> None:
        """Give the modules their plain calls back; what was compiled stays in torch's cache for the next call."""
        for part in self._compiled:
            part._compiled_call_impl = None
        self._compiled = []


def regions(module: nn.Module) -> list[nn.Module]:
    """The parts of ``module`` to compile, each by itself and none inside another.

    Blocks that repeat (several modules of one class with layers of their own, in one container) are taken one by one;
    a part without such blocks is taken whole. Single layers are left alone, as compiling them gains nothing. A module
    of single layers only is compiled by its ``forward``.
    """
    found = list(_inside(module))
    if not found and overrides(module, "forward"):
        return [module]
    return found


def _inside(module: nn.Module) -> Iterator[nn.Module]:
    repeated = _repeated(module)
    for child in module.children():
        if not _is_block(child):
            continue
        if type(child) in repeated or not any(_repeated(part) for part in child.modules()):
            yield child
        else:
            yield from _inside(child)


def _is_block(module: nn.Module) -> bool:
    """Whether ``module`` has layers with weights inside, and so something that compiling can join."""
    return next(module.children(), None) is not None and next(module.parameters(), None) is not None


def _repeated(module: nn.Module) -> set[type]:
    containers = (nn.ModuleList, nn.Sequential, nn.ModuleDict)
    counts = Counter(type(child) for child in module.children() if _is_block(child) and type(child) not in containers)
    return {kind for kind, count in counts.items() if count > 1}


def _check_compiler(device: torch.device) -> None:
    if device.type == "cpu" and not any(map(shutil.which, _COMPILERS)):
        raise MisconfigurationException(
            "torch.compile needs a C++ compiler on the CPU, and none was found on PATH",
            valid=", ".join(_COMPILERS),
            advice="Install one (on Debian and Ubuntu: apt install g++), or leave out `compile`.",
        )
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise MisconfigurationException(
                "torch.compile needs Triton on this GPU, and it is missing or the GPU is too old",
                value=torch.cuda.get_device_name(device),
                advice="Install Triton beside torch, or leave out `compile`.",
            )
