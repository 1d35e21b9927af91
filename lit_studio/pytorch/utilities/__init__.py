"""Lightning's `lightning.pytorch.utilities`: small functions.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.batches import move as move_data_to_device
from lit_studio.trainer.combined_loader import CombinedLoader
from lit_studio.trainer.hyperparameters import AttributeDict
from lit_studio.trainer.optimization import grad_norm
from lit_studio.trainer.rank_zero import (
    rank_zero_debug,
    rank_zero_deprecation,
    rank_zero_info,
    rank_zero_only,
    rank_zero_warn,
)

__all__ = [
    "AttributeDict",
    "CombinedLoader",
    "grad_norm",
    "move_data_to_device",
    "rank_zero_debug",
    "rank_zero_deprecation",
    "rank_zero_info",
    "rank_zero_only",
    "rank_zero_warn",
]
