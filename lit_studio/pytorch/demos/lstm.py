"""Lightning's `lightning.pytorch.demos.lstm`: a language model.

It must not hold anything of its own: these are other names for what lies in `lit_studio.demos`.
"""

from lit_studio.demos import LightningLSTM, SequenceSampler, SimpleLSTM

__all__ = [
    "LightningLSTM",
    "SequenceSampler",
    "SimpleLSTM",
]
