"""Lightning's `lightning.pytorch.utilities.parameter_tying`: shared parameters.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.parameter_tying import find_shared_parameters, set_shared_parameters

__all__ = [
    "find_shared_parameters",
    "set_shared_parameters",
]
