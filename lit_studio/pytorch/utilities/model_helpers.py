"""Lightning's `lightning.pytorch.utilities.model_helpers`: which hooks are overridden, and torchvision's models.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.demos.vision import get_torchvision_model
from lit_studio.trainer.introspection import is_overridden

__all__ = [
    "get_torchvision_model",
    "is_overridden",
]
