"""From what ``torch.compile`` returns to a module that a trainer takes, and back.

It must not know when or why a module is compiled.
"""

from __future__ import annotations

from typing import Any

from torch._dynamo import OptimizedModule

from lit_studio.base.errors import InvalidValueError
from lit_studio.trainer.module import LightningModule, unwrap_compiled


def from_compiled(model: Any) -> LightningModule:
    """The module in ``torch.compile``'s wrapper, its steps and ``forward`` compiled; changed in place.

    Raises:
        InvalidValueError: ``model`` is no such wrapper, or there is no LightningModule in it.
    """
    if not isinstance(model, OptimizedModule):
        raise InvalidValueError(
            "`model` is required to be a `OptimizedModule`",
            value=type(model).__name__,
            valid="what torch.compile gives",
        )
    if not isinstance(model._orig_mod, LightningModule):
        raise InvalidValueError(
            "`model` is expected to be a compiled LightningModule", value=type(model._orig_mod).__name__
        )
    module: LightningModule = unwrap_compiled(model)
    return module


def to_uncompiled(model: Any) -> LightningModule:
    """The module as it was before it was compiled; changed in place.

    Args:
        model: what ``torch.compile`` or :func:`from_compiled` returned.

    Raises:
        InvalidValueError: it isn't compiled, or is no LightningModule.
    """
    module = model._orig_mod if isinstance(model, OptimizedModule) else model
    if not isinstance(module, LightningModule):
        raise InvalidValueError(
            "`model` must either be an instance of OptimizedModule or LightningModule", value=type(module).__name__
        )
    if module is model and "_compiled" not in module.__dict__:
        raise InvalidValueError("`model` is required to be a compiled LightningModule", value="a non-compiled one")
    for name in (*module.__dict__.get("_compiled", ()), "_compiled"):
        module.__dict__.pop(name, None)
    return module
