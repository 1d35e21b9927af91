"""WikiText-2, two million words of Wikipedia, as token ids in pieces of one length.

It must not know the network, except for one address that is asked where the file is missing and ``download`` is true.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_studio.base.errors import PathNotFoundError
from lit_studio.demos.downloads import fetch

ADDRESS = "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/train.txt"
END_OF_LINE = "<eos>"


class Dictionary:
    """Words and their ids, in the order in which they were first met.

    Attributes:
        word2idx: the ids by word.
        idx2word: the words by id.
    """

    def __init__(self) -> None:
        self.word2idx: dict[str, int] = {}
        self.idx2word: list[str] = []

    def add_word(self, word: str) -> int:
        """The id of ``word``, a new one if it wasn't met before."""
        index = self.word2idx.setdefault(word, len(self.idx2word))
        if index == len(self.idx2word):
            self.idx2word.append(word)
        return index

    def __len__(self) -> int:
        return len(self.idx2word)


def tokenize(path: Path | str) -> tuple[Tensor, Dictionary]:
    """The words of a text file, separated by blanks, a mark at each line's end.

    Returns:
        Their ids, int64 (N,), and the dictionary.
    """
    dictionary = Dictionary()
    with Path(path).open(encoding="utf-8") as file:
        ids = [dictionary.add_word(word) for line in file for word in (*line.split(), END_OF_LINE)]
    return torch.tensor(ids, dtype=torch.int64), dictionary


class WikiText2(Dataset[tuple[Tensor, Tensor]]):
    """Pieces of ``block_size`` tokens, each with the same piece one token later.

    Any other text will do too, as ``wikitext-2.txt`` in the folder.

    Args:
        data_dir: the folder of ``wikitext-2.txt``.
        block_size: tokens in a piece.
        download: fetch the file if it is missing, from :data:`ADDRESS` or that in ``LIT_STUDIO_WIKITEXT_ADDRESS``.

    Attributes:
        path: the file.
        data: all token ids.
        dictionary: of the words.

    Raises:
        PathNotFoundError: the file is missing, and could not be or was not to be downloaded.
    """

    def __init__(self, data_dir: Path | str = Path("./data"), block_size: int = 35, download: bool = True):
        self.path, self.block_size = Path(data_dir) / "wikitext-2.txt", block_size
        if download:
            self.download(self.path)
        if not self.path.is_file():
            raise PathNotFoundError(
                "WikiText-2's text was not found", value=str(self.path), advice="Put it there, or pass download=True."
            )
        self.data, self.dictionary = tokenize(self.path)

    @staticmethod
    def download(destination: Path) -> None:
        """Fetch the text to ``destination``, unless a file is there."""
        if not destination.is_file():
            fetch(os.environ.get("LIT_STUDIO_WIKITEXT_ADDRESS") or ADDRESS, destination)

    @property
    def vocab_size(self) -> int:
        """How many different words there are."""
        return len(self.dictionary)

    def __len__(self) -> int:
        return len(self.data) // self.block_size - 1

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start = index * self.block_size
        end = start + self.block_size
        return self.data[start:end], self.data[start + 1 : end + 1]
