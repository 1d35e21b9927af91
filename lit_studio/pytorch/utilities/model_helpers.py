"""Lightning's `lightning.pytorch.utilities.model_helpers`: which hooks are overridden.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.introspection import is_overridden

__all__ = [
    "is_overridden",
]
