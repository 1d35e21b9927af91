"""Lightning's `lightning.pytorch.callbacks.on_exception_checkpoint`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.on_exception_checkpoint import OnExceptionCheckpoint

__all__ = [
    "OnExceptionCheckpoint",
]
