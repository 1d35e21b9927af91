"""Lightning's `lightning.pytorch.core.saving`: hyper-parameters in files.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.hyperparameter_files import (
    CHECKPOINT_PAST_HPARAMS_KEYS,
    convert,
    load_hparams_from_tags_csv,
    load_hparams_from_yaml,
    save_hparams_to_tags_csv,
    save_hparams_to_yaml,
    update_hparams,
)

__all__ = [
    "CHECKPOINT_PAST_HPARAMS_KEYS",
    "convert",
    "load_hparams_from_tags_csv",
    "load_hparams_from_yaml",
    "save_hparams_to_tags_csv",
    "save_hparams_to_yaml",
    "update_hparams",
]
