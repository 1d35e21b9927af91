"""Lightning's `lightning.fabric.utilities.exceptions`: errors.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.base.errors import MisconfigurationException

__all__ = [
    "MisconfigurationException",
]
