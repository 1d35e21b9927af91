"""Lightning's `lightning.fabric.utilities.data`: lengths and sizes.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.hyperparameters import AttributeDict
from lit_studio.trainer.loader_facts import has_iterable_dataset, has_len, sized_len, suggested_max_num_workers

__all__ = [
    "AttributeDict",
    "has_iterable_dataset",
    "has_len",
    "sized_len",
    "suggested_max_num_workers",
]
