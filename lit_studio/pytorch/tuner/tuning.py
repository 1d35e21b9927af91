"""Lightning's `lightning.pytorch.tuner.tuning`: the tuner.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.tuner import Tuner

__all__ = [
    "Tuner",
]
