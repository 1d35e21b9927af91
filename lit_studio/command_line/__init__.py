"""``LightningCLI``: a training program's command line, made from the signatures of its classes.

It must not know any model or datamodule: it reads their ``__init__`` and makes them.
"""

from lit_studio.command_line.cli import LightningCLI
from lit_studio.command_line.instantiation import instantiate_class, instantiate_module
from lit_studio.command_line.parser import (
    ArgsType,
    LightningArgumentParser,
    LRSchedulerCallable,
    LRSchedulerType,
    LRSchedulerTypeTuple,
    LRSchedulerTypeUnion,
    OptimizerCallable,
    ReduceLROnPlateau,
)
from lit_studio.command_line.saving import SaveConfigCallback

__all__ = [
    "ArgsType",
    "LRSchedulerCallable",
    "LRSchedulerType",
    "LRSchedulerTypeTuple",
    "LRSchedulerTypeUnion",
    "LightningArgumentParser",
    "LightningCLI",
    "OptimizerCallable",
    "ReduceLROnPlateau",
    "SaveConfigCallback",
    "instantiate_class",
    "instantiate_module",
]
