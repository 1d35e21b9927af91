"""Lightning's `lightning.fabric.plugins.precision.transformer_engine`: numerics.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.precision import TransformerEnginePrecision

__all__ = [
    "TransformerEnginePrecision",
]
