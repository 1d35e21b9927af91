"""Lightning's `lightning.pytorch.utilities`: small functions.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.callbacks.throughput import measure_flops
from lit_studio.trainer.choices import GradClipAlgorithmType, LightningEnum
from lit_studio.trainer.combined_loader import CombinedLoader
from lit_studio.trainer.conversion import move_data_to_device
from lit_studio.trainer.filesystems import is_shared_filesystem
from lit_studio.trainer.hyperparameters import AttributeDict
from lit_studio.trainer.introspection import is_picklable
from lit_studio.trainer.loader_facts import suggested_max_num_workers
from lit_studio.trainer.optimization import grad_norm
from lit_studio.trainer.parameter_tying import find_shared_parameters, set_shared_parameters
from lit_studio.trainer.rank_zero import (
    rank_zero_debug,
    rank_zero_deprecation,
    rank_zero_info,
    rank_zero_only,
    rank_zero_warn,
)
from lit_studio.trainer.warning_kinds import disable_possible_user_warnings

__all__ = [
    "AttributeDict",
    "CombinedLoader",
    "GradClipAlgorithmType",
    "LightningEnum",
    "disable_possible_user_warnings",
    "find_shared_parameters",
    "grad_norm",
    "is_picklable",
    "is_shared_filesystem",
    "measure_flops",
    "move_data_to_device",
    "rank_zero_debug",
    "rank_zero_deprecation",
    "rank_zero_info",
    "rank_zero_only",
    "rank_zero_warn",
    "set_shared_parameters",
    "suggested_max_num_workers",
]

__getattr__ = submodules(__name__, __path__)
