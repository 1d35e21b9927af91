"""Lightning's `lightning.pytorch.callbacks.timer`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.timer import Timer

__all__ = [
    "Timer",
]
