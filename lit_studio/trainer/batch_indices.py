"""Which samples a batch is made of, noted while a loader is iterated.

It must not know who asks, nor change the user's loader beyond the moment in which its iterator is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, IterableDataset


class _Recording:
    """A sampler that notes what it hands out; workers fetch ahead, but in this order."""

    def __init__(self, inner: Any):
        self.inner = inner
        self.handed_out: list[list[int]] = []

    def __iter__(self) -> Iterator[Any]:
        self.handed_out = []
        noted = self.handed_out
        for indices in self.inner:
            noted.append(list(indices) if isinstance(indices, list | tuple) else [indices])
            yield indices

    def __len__(self) -> int:
        return len(self.inner)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.inner, name)


class IndexedBatches:
    """Iterates ``loader`` and knows the places in the dataset that each batch came from.

    Args:
        loader: a DataLoader, or anything iterable, of which nothing is known.
    """

    def __init__(self, loader: Any):
        self._loader = loader
        self._recording: _Recording | None = None

    def __iter__(self) -> Iterator[Any]:
        loader = self._loader
        if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
            return iter(loader)
        name = "sampler" if loader.batch_sampler is None else "batch_sampler"
        # A loader with persistent workers keeps its first iterator, and in it the recording of the first time.
        kept = getattr(getattr(loader, "_iterator", None), "_index_sampler", None)
        recording = kept if isinstance(kept, _Recording) else _Recording(getattr(loader, name))
        before = loader.__dict__[name]
        loader.__dict__[name] = recording  # a DataLoader refuses to have it set the usual way
        try:
            iterator = iter(loader)
        finally:
            loader.__dict__[name] = before
        self._recording = recording
        return iterator

    def of_batch(self, number: int) -> list[int] | None:
        """The samples of batch ``number`` (from 0), None where that can't be known."""
        if self._recording is None or number >= len(self._recording.handed_out):
            return None
        return self._recording.handed_out[number]
