"""Lightning's `lightning.pytorch.demos.transformer`: a language model.

It must not hold anything of its own: these are other names for what lies in `lit_studio.demos`.
"""

from lit_studio.demos import Dictionary, LightningTransformer, PositionalEncoding, Transformer, WikiText2, tokenize

__all__ = [
    "Dictionary",
    "LightningTransformer",
    "PositionalEncoding",
    "Transformer",
    "WikiText2",
    "tokenize",
]
