"""Lightning's `lightning.fabric.utilities`: small functions.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.callbacks.throughput import Throughput, measure_flops
from lit_studio.callbacks.throughput_monitor import FabricThroughput as ThroughputMonitor
from lit_studio.trainer.choices import LightningEnum
from lit_studio.trainer.conversion import move_data_to_device
from lit_studio.trainer.filesystems import is_shared_filesystem
from lit_studio.trainer.hyperparameters import AttributeDict
from lit_studio.trainer.loader_facts import suggested_max_num_workers
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
    "LightningEnum",
    "Throughput",
    "ThroughputMonitor",
    "disable_possible_user_warnings",
    "is_shared_filesystem",
    "measure_flops",
    "move_data_to_device",
    "rank_zero_debug",
    "rank_zero_deprecation",
    "rank_zero_info",
    "rank_zero_only",
    "rank_zero_warn",
    "suggested_max_num_workers",
]

__getattr__ = submodules(__name__, __path__)
