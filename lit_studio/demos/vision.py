"""Torchvision's models by name, for programs that ask for them here.

It must not import torchvision before a model is wanted.
"""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn


def get_torchvision_model(model_name: str, **kwargs: Any) -> nn.Module:
    """The model that torchvision calls ``model_name``.

    Args:
        model_name: for instance ``"resnet18"``.
        kwargs: what its builder takes, for instance ``weights``.

    Raises:
        ImportError: torchvision is not installed.
        ValueError: it has no such model.
    """
    models = importlib.import_module("torchvision.models")
    model: nn.Module = models.get_model(model_name, **kwargs)
    return model
