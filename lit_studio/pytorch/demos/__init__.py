"""Lightning's `lightning.pytorch.demos`: small models and data.

It must not hold anything of its own: these are other names for what lies in `lit_studio.demos`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.demos import (
    BoringDataModule,
    BoringModel,
    DemoModel,
    LightningLSTM,
    LightningTransformer,
    SequenceSampler,
    SimpleLSTM,
    Transformer,
    WikiText2,
)

__all__ = [
    "BoringDataModule",
    "BoringModel",
    "DemoModel",
    "LightningLSTM",
    "LightningTransformer",
    "SequenceSampler",
    "SimpleLSTM",
    "Transformer",
    "WikiText2",
]

__getattr__ = submodules(__name__, __path__)
