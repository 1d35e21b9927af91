"""Small models and data to try a trainer with; nothing is downloaded unless a data set is asked to.

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
from lit_studio.demos.mnist import MNIST, MNISTDataModule
from lit_studio.demos.text import (
    LightningLSTM,
    LightningTransformer,
    PositionalEncoding,
    SequenceSampler,
    SimpleLSTM,
    Transformer,
)
from lit_studio.demos.wikitext import Dictionary, WikiText2, tokenize

__all__ = [
    "MNIST",
    "BoringDataModule",
    "BoringDataModuleNoLen",
    "BoringModel",
    "DemoModel",
    "Dictionary",
    "IterableBoringDataModule",
    "LightningLSTM",
    "LightningTransformer",
    "MNISTDataModule",
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
    "WikiText2",
    "tokenize",
]
