"""MNIST, 70,000 handwritten digits: the dataset, and a datamodule with training, validation and test loaders.

It must not know the network, except for one address that is asked where the caller wants it and a file is missing.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, random_split

from lit_studio.base.errors import PathNotFoundError
from lit_studio.demos.downloads import fetch
from lit_studio.trainer.datamodule import LightningDataModule

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
IDX_OF_BYTES = 0x0800  # the first half of an IDX file's magic number: unsigned bytes; the other half is the rank


class MNIST(Dataset[tuple[Any, Any]]):
    """Images of 28 by 28 pixels and the digits on them.

    The files may be the four original ones (``train-images-idx3-ubyte`` and so on, gzipped or not), as torchvision
    keeps them, or Lightning's ``training.pt`` and ``test.pt``. They are looked for in ``root/MNIST/raw``,
    ``root/MNIST/processed``, ``root/MNIST`` and ``root``.

    Args:
        root: the folder.
        train: the 60,000 images for training, or the 10,000 for tests.
        transform: gets each image, as a PIL image where Pillow is installed, else as an array (28, 28) of bytes.
            Without it, an image is a float tensor (1, 28, 28) from 0 to 1.
        target_transform: gets each digit.
        download: fetch what is missing, from :data:`MIRROR` or the address in ``LIT_STUDIO_MNIST_MIRROR``.
        normalize: mean and standard deviation that an image without ``transform`` is normalized by; None leaves it.

    Attributes:
        data: uint8 (N, 28, 28).
        targets: int64 (N,).

    Raises:
        PathNotFoundError: no files, and none could be or was to be downloaded.
    """

    classes: ClassVar[list[str]] = [str(digit) for digit in range(10)]

    def __init__(
        self,
        root: str | Path,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
        normalize: tuple[float, float] | None = None,
    ):
        self.root, self.train = Path(root), train
        self.transform, self.target_transform, self.normalize = transform, target_transform, normalize
        self._to_image = _pillow() if transform is not None else None
        self.data, self.targets = self._read(download)

    def _read(self, download: bool) -> tuple[Tensor, Tensor]:
        names = [f"{'train' if self.train else 't10k'}-{part}" for part in ("images-idx3-ubyte", "labels-idx1-ubyte")]
        processed = self._find("training.pt" if self.train else "test.pt")
        if processed is not None and not all(map(self._find, names)):
            images, digits = torch.load(processed, weights_only=True)[:2]
            return images.to(torch.uint8), digits.to(torch.int64)
        found = [self._find(name) or self._fetch(name, download) for name in names]
        return read_idx(found[0]), read_idx(found[1]).to(torch.int64)

    def _find(self, name: str) -> Path | None:
        folders = [self.root / "MNIST" / "raw", self.root / "MNIST" / "processed", self.root / "MNIST", self.root]
        every = (folder / spelt for folder in folders for spelt in (name, f"{name}.gz"))
        return next((path for path in every if path.is_file()), None)

    def _fetch(self, name: str, download: bool) -> Path:
        target = self.root / "MNIST" / "raw" / f"{name}.gz"
        if not download:
            raise PathNotFoundError(
                f"MNIST's file {name} was not found",
                value=str(self.root),
                valid=f"{name}.gz in {target.parent}",
                advice="Put it there, or pass download=True.",
            )
        mirror = os.environ.get("LIT_STUDIO_MNIST_MIRROR") or MIRROR
        fetch(f"{mirror.rstrip('/')}/{name}.gz", target)
        return target

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, digit = self.data[index], int(self.targets[index])
        return self._present(image), digit if self.target_transform is None else self.target_transform(digit)

    def _present(self, image: Tensor) -> Any:
        if self.transform is not None:
            array = image.numpy()
            return self.transform(array if self._to_image is None else self._to_image(array))
        scaled = image.unsqueeze(0).float() / 255
        return scaled if self.normalize is None else (scaled - self.normalize[0]) / self.normalize[1]

    def __len__(self) -> int:
        return len(self.data)


def _pillow() -> Callable[[Any], Any] | None:
    try:
        from PIL import Image
    except ImportError:
        return None
    return Image.fromarray


def read_idx(path: Path) -> Tensor:
    """The bytes in a file of the IDX format, gzipped if its name says so, as a uint8 tensor of the file's shape.

    Raises:
        PathNotFoundError: it is no such file, or a part of one.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            content = b""
    magic = int.from_bytes(content[:4], "big")
    rank = magic & 0xFF
    shape = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank)]
    start = 4 + 4 * rank
    if magic ^ rank != IDX_OF_BYTES or not rank or len(content) != start + math.prod(shape):
        raise PathNotFoundError(
            "This is not a complete IDX file of bytes", value=str(path), advice="Remove it, and get it again."
        )
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).reshape(shape)


class MNISTDataModule(LightningDataModule):
    """Loaders of :class:`MNIST`: training, validation (a part of the training images) and test.

    Args:
        data_dir: the files' folder; what is missing there is downloaded.
        val_split: how many of the 60,000 training images are for validation.
        num_workers: worker processes of each loader.
        normalize: whether images go from −1 to 1 instead of from 0 to 1.
        seed: of the split.
        batch_size: images in a batch; a last batch with fewer is left out.
    """

    name = "mnist"

    def __init__(
        self,
        data_dir: str | Path = "./data",
        val_split: int = 5000,
        num_workers: int = 16,
        normalize: bool = False,
        seed: int = 42,
        batch_size: int = 32,
    ):
        super().__init__()
        self.data_dir, self.val_split, self.num_workers = data_dir, val_split, num_workers
        self.normalize, self.seed, self.batch_size = normalize, seed, batch_size

    @property
    def num_classes(self) -> int:
        """Ten."""
        return 10

    @property
    def default_transforms(self) -> Callable[[Any], Any] | None:
        """What an image goes through; None, for :class:`MNIST` makes tensors by itself."""
        return None

    def prepare_data(self) -> None:
        """Download what is missing."""
        for train in (True, False):
            MNIST(self.data_dir, train=train, download=True)

    def setup(self, stage: str) -> None:
        """Read the images, and set some of those for training apart."""
        whole = self._dataset(train=True)
        parts = [len(whole) - self.val_split, self.val_split]
        generator = torch.Generator().manual_seed(self.seed)
        self.dataset_train, self.dataset_val = random_split(whole, parts, generator=generator)

    def _dataset(self, train: bool) -> MNIST:
        scale = (0.5, 0.5) if self.normalize else None
        return MNIST(self.data_dir, train=train, transform=self.default_transforms, normalize=scale)

    def _loader(self, dataset: Dataset[Any], shuffle: bool = False) -> DataLoader[Any]:
        options: dict[str, Any] = {"batch_size": self.batch_size, "num_workers": self.num_workers}
        return DataLoader(dataset, shuffle=shuffle, drop_last=True, pin_memory=torch.cuda.is_available(), **options)

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled."""
        return self._loader(self.dataset_train, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """In order."""
        return self._loader(self.dataset_val)

    def test_dataloader(self) -> DataLoader[Any]:
        """The images for tests, in order."""
        return self._loader(self._dataset(train=False))
