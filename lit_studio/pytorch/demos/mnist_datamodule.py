"""Lightning's `lightning.pytorch.demos.mnist_datamodule`: handwritten digits.

It must not hold anything of its own: these are other names for what lies in `lit_studio.demos`.
"""

from lit_studio.demos import MNIST, MNISTDataModule

__all__ = [
    "MNIST",
    "MNISTDataModule",
]
