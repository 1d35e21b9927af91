"""Lightning's `lightning.pytorch.demos.transformer`: a language model.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.demos import LightningTransformer, PositionalEncoding, Transformer

__all__ = [
    "LightningTransformer",
    "PositionalEncoding",
    "Transformer",
]
