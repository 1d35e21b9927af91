"""Lightning's `lightning.pytorch.utilities.compile`: compiled modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.compiled_modules import from_compiled, to_uncompiled

__all__ = [
    "from_compiled",
    "to_uncompiled",
]
