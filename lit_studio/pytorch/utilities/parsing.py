"""Lightning's `lightning.pytorch.utilities.parsing`: what objects were made with.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.callbacks.attributes import lightning_getattr, lightning_hasattr, lightning_setattr
from lit_studio.trainer.hyperparameters import AttributeDict
from lit_studio.trainer.introspection import (
    clean_namespace,
    collect_init_args,
    get_init_args,
    is_picklable,
    parse_class_init_keys,
    save_hyperparameters,
)

__all__ = [
    "AttributeDict",
    "clean_namespace",
    "collect_init_args",
    "get_init_args",
    "is_picklable",
    "lightning_getattr",
    "lightning_hasattr",
    "lightning_setattr",
    "parse_class_init_keys",
    "save_hyperparameters",
]
