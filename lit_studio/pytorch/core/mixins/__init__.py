"""Lightning's `lightning.pytorch.core.mixins`: hyper-parameters.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.trainer.hyperparameters import HyperparametersMixin

__all__ = [
    "HyperparametersMixin",
]

__getattr__ = submodules(__name__, __path__)
