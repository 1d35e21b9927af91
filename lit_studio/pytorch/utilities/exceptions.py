"""Lightning's `lightning.pytorch.utilities.exceptions`: errors.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.errors import MisconfigurationException
from lit_studio.trainer.termination import SIGTERMException

__all__ = [
    "MisconfigurationException",
    "SIGTERMException",
]
