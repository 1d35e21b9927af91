"""Lightning's `lightning.fabric.utilities.seed`: seeds.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.seed import MAX_SEED as max_seed_value
from lit_studio.trainer.seed import MIN_SEED as min_seed_value
from lit_studio.trainer.seed import reset_seed, seed_everything
from lit_studio.trainer.seed import seed_worker as pl_worker_init_function

__all__ = [
    "max_seed_value",
    "min_seed_value",
    "pl_worker_init_function",
    "reset_seed",
    "seed_everything",
]
