"""Small models and data to try a trainer with: nothing is downloaded, and everything runs in seconds on a CPU.

It must not know the trainer's inside: these are ordinary modules, as a user would write them.
"""

from lit_studio.demos.boring import (
    BoringDataModule,
    BoringDataModuleNoLen,
    BoringModel,
    DemoModel,
    IterableBoringDataModule,
    ManualOptimBoringModel,
    Net,
    RandomDataset,
    RandomDictDataset,
    RandomIterableDataset,
    RandomIterableDatasetWithLen,
)
from lit_studio.demos.text import (
    LightningLSTM,
    LightningTransformer,
    PositionalEncoding,
    SequenceSampler,
    SimpleLSTM,
    Transformer,
)

__all__ = [
    "BoringDataModule",
    "BoringDataModuleNoLen",
    "BoringModel",
    "DemoModel",
    "IterableBoringDataModule",
    "LightningLSTM",
    "LightningTransformer",
    "ManualOptimBoringModel",
    "Net",
    "PositionalEncoding",
    "RandomDataset",
    "RandomDictDataset",
    "RandomIterableDataset",
    "RandomIterableDatasetWithLen",
    "SequenceSampler",
    "SimpleLSTM",
    "Transformer",
]
