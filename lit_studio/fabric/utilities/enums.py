"""Lightning's `lightning.fabric.utilities.enums`: enumerations.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.choices import LightningEnum

__all__ = [
    "LightningEnum",
]
