"""From a template such as ``{epoch:02d}-{val_loss:.2f}`` to a checkpoint's file name.

It must not know when a checkpoint is saved or what lies on disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from lit_studio.base.errors import InvalidValueError

_FIELD = re.compile(r"\{([^{}:]+)(?::([^{}]*))?\}")


def matches_template(name: str, template: str, version: str) -> bool:
    """Whether ``name`` (without extension) can come from ``template``, with or without a version after ``version``."""
    pattern = ".*".join(re.escape(part) for part in _FIELD.sub("\0", template).split("\0"))
    return re.fullmatch(f"{pattern}({re.escape(version)}\\d+)?", name) is not None


def fill_template(template: str, metrics: Mapping[str, Any], equals: str, insert_names: bool) -> str:
    """``template`` with each ``{name:format}`` replaced by the metric's value.

    Args:
        template: the file name without extension; a metric's name may contain ``/`` and ``.``.
        metrics: numbers and one-element tensors by name; a name that is not in it becomes 0.
        equals: what stands between a name and its value.
        insert_names: whether the name is put before the value.

    Raises:
        InvalidValueError: a format doesn't fit its value.
    """

    def fill(match: re.Match[str]) -> str:
        name, spec = match[1], match[2] or ""
        value = metrics.get(name, 0)
        if isinstance(value, torch.Tensor):
            value = value.item()
        try:
            text = format(value, spec)
        except ValueError as error:
            raise InvalidValueError(
                f"The checkpoint's file name can't be made from {template!r}: {error}",
                value=match[0],
                valid=f"a format for {value!r}",
            ) from error
        return f"{name}{equals}{text}" if insert_names else text

    return _FIELD.sub(fill, template)
