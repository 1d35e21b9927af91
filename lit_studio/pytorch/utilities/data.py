"""Lightning's `lightning.pytorch.utilities.data`: lengths and sizes.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.loader_facts import (
    extract_batch_size,
    has_iterable_dataset,
    has_len,
    has_len_all_ranks,
    sized_len,
    suggested_max_num_workers,
)

__all__ = [
    "extract_batch_size",
    "has_iterable_dataset",
    "has_len",
    "has_len_all_ranks",
    "sized_len",
    "suggested_max_num_workers",
]
