"""MNIST and WikiText-2 are read from the files in which they come, and fetched only where that is asked for."""

from __future__ import annotations

import gzip
import sys

import pytest
import torch

import lit_studio as L
from lit_studio.base.errors import PathNotFoundError, StudioError
from lit_studio.demos import MNIST, MNISTDataModule, WikiText2
from lit_studio.demos.mnist import read_idx

IMAGES = torch.randint(0, 256, (50, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
DIGITS = torch.arange(50, dtype=torch.uint8) % 10


def idx(tensor: torch.Tensor) -> bytes:
    """``tensor`` as an IDX file."""
    head = bytes([0, 0, 8, tensor.ndim]) + b"".join(size.to_bytes(4, "big") for size in tensor.shape)
    return head + tensor.numpy().tobytes()


def put(folder, zipped: bool = True):
    """The four files in ``folder``."""
    folder.mkdir(parents=True)
    for word in ("train", "t10k"):
        for part, tensor in (("images-idx3-ubyte", IMAGES), ("labels-idx1-ubyte", DIGITS)):
            content = idx(tensor)
            name = f"{word}-{part}{'.gz' if zipped else ''}"
            (folder / name).write_bytes(gzip.compress(content) if zipped else content)
    return folder


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["MNIST/raw", "MNIST", "."])
def test_the_original_files_are_read_where_they_usually_lie(tmp_path, place, zipped):
    put(tmp_path / "data" / place, zipped)
    dataset = MNIST(tmp_path / "data", train=False)
    image, digit = dataset[13]
    assert len(dataset) == 50
    assert digit == 3
    assert image.shape == (1, 28, 28)
    assert torch.equal((image * 255).round().to(torch.uint8)[0], IMAGES[13])


def test_lightnings_processed_files_are_read_too(tmp_path):
    folder = tmp_path / "MNIST" / "processed"
    folder.mkdir(parents=True)
    torch.save((IMAGES, DIGITS.long()), folder / "training.pt")
    image, digit = MNIST(tmp_path, normalize=(0.5, 0.25), target_transform=str)[7]
    assert digit == "7"
    assert torch.allclose(image[0], (IMAGES[7] / 255 - 0.5) / 0.25)


def test_a_transform_gets_an_image_of_pillows_and_without_pillow_an_array(tmp_path, monkeypatch):
    put(tmp_path / "MNIST" / "raw")
    seen = MNIST(tmp_path, transform=lambda image: image)[0][0]
    assert seen.size == (28, 28)
    assert seen.getpixel((3, 5)) == IMAGES[0, 5, 3]
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert MNIST(tmp_path, transform=lambda image: image)[0][0].shape == (28, 28)


def test_missing_files_are_named_with_their_place(tmp_path):
    with pytest.raises(PathNotFoundError, match=r"train-images-idx3-ubyte was not found") as caught:
        MNIST(tmp_path)
    assert str(tmp_path / "MNIST" / "raw") in str(caught.value)
    assert "download=True" in str(caught.value)


def test_what_is_missing_is_downloaded_where_asked_and_only_once(tmp_path, monkeypatch):
    source = put(tmp_path / "mirror")
    monkeypatch.setenv("LIT_STUDIO_MNIST_MIRROR", source.as_uri())
    assert torch.equal(MNIST(tmp_path / "data", download=True).data, IMAGES)
    for file in source.iterdir():
        file.unlink()
    assert torch.equal(MNIST(tmp_path / "data", download=True).data, IMAGES)
    with pytest.raises(PathNotFoundError, match="could not be downloaded") as caught:
        MNIST(tmp_path / "data", train=False, download=True)
    assert str(tmp_path / "data" / "MNIST" / "raw") in str(caught.value)
    assert {file.suffix for file in (tmp_path / "data" / "MNIST" / "raw").iterdir()} == {".gz"}


@pytest.mark.parametrize("content", [b"", b"<html>", idx(DIGITS)[:-1], idx(DIGITS) + b"x"])
def test_half_a_file_is_no_file(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "file.gz").write_bytes(gzip.compress(content)[:-9])
    for name in ("file", "file.gz"):
        with pytest.raises(StudioError, match="not a complete IDX file"):
            read_idx(tmp_path / name)


def test_the_datamodule_trains(tmp_path):
    put(tmp_path / "MNIST" / "raw")
    data = MNISTDataModule(tmp_path, val_split=10, num_workers=0, batch_size=8, normalize=True)

    class Digits(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer, self.sizes = torch.nn.Linear(784, data.num_classes), []

        def training_step(self, batch, batch_idx):
            images, digits = batch
            assert -1 <= images.min() < 0
            self.sizes.append(len(images))
            return torch.nn.functional.cross_entropy(self.layer(images.flatten(1)), digits)

        def validation_step(self, batch, batch_idx):
            self.log("val_loss", self.training_step(batch, batch_idx))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    module, trainer = Digits(), L.Trainer(max_epochs=1, accelerator="cpu", num_sanity_val_steps=0, **off)
    trainer.fit(module, data)
    assert module.sizes == [8] * 6  # 40 for training, 10 for validation, of which 8 fill a batch
    assert "val_loss" in trainer.callback_metrics


def test_a_text_is_cut_into_pieces_each_with_the_one_that_follows(tmp_path):
    (tmp_path / "wikitext-2.txt").write_text("a b a\n\nc a b\n" * 20, encoding="utf-8")
    text = WikiText2(tmp_path, block_size=4)
    assert text.dictionary.idx2word == ["a", "b", "<eos>", "c"]
    assert text.vocab_size == 4
    assert len(text) == 20 * 9 // 4 - 1
    inputs, target = text[1]
    assert inputs.tolist() == [2, 3, 0, 1]
    assert target.tolist() == [3, 0, 1, 2]


def test_a_text_that_is_missing_is_fetched_if_asked_for(tmp_path, monkeypatch):
    with pytest.raises(PathNotFoundError, match="WikiText-2's text was not found"):
        WikiText2(tmp_path, download=False)
    (tmp_path / "source").write_text("one two\n" * 50, encoding="utf-8")
    monkeypatch.setenv("LIT_STUDIO_WIKITEXT_ADDRESS", (tmp_path / "source").as_uri())
    assert WikiText2(tmp_path / "data").vocab_size == 3
