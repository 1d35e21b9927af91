"""Several loaders iterated as one: a collection of loaders in, a collection of batches out.

It must not know the loop or devices: it only draws batches from what it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from typing import Any, Literal

from torch.utils import _pytree as pytree

from lit_studio.base.errors import InvalidStateError, InvalidTypeError, InvalidValueError

Mode = Literal["min_size", "max_size_cycle", "max_size", "sequential"]
MODES = ("min_size", "max_size_cycle", "max_size", "sequential")


class CombinedLoader:
    """Iterates over a collection of loaders together, or one after the other.

    Args:
        iterables: a loader, or any nesting of lists, tuples and dicts of loaders (torch's pytree).
        mode: when to stop. ``"min_size"``: with the shortest. ``"max_size_cycle"``: with the longest, shorter ones
            start again. ``"max_size"``: with the longest, a spent one gives None. ``"sequential"``: one after the
            other, each in full.

    Each step gives ``(batch, batch_idx, dataloader_idx)``. ``batch`` has the shape of ``iterables`` with a batch in
    place of each loader, and ``dataloader_idx`` is 0, except in sequential mode, where ``batch`` comes from the one
    loader ``dataloader_idx`` and ``batch_idx`` starts again with each.

    Attributes:
        limits: at most so many batches of each loader (sequential) or altogether (the other modes, where the
            smallest counts); None for no limit.

    Raises:
        InvalidValueError: the mode is unknown.
    """

    def __init__(self, iterables: Any, mode: Mode = "min_size"):
        if mode not in MODES:
            raise InvalidValueError(f"Unsupported mode {mode!r} of CombinedLoader", valid=", ".join(MODES))
        self._flat, self._spec = pytree.tree_flatten(iterables, is_leaf=_is_loader)
        self._mode: Mode = mode
        self._iterator: Iterator[tuple[Any, int, int]] | None = None
        self.limits: list[int | float] | None = None

    @property
    def iterables(self) -> Any:
        """The collection of loaders in its original shape."""
        return pytree.tree_unflatten(self._flat, self._spec)

    @property
    def flattened(self) -> list[Any]:
        """The loaders as a flat list; assign a list of the same length to replace them."""
        return self._flat

    @flattened.setter
    def flattened(self, loaders: list[Any]) -> None:
        if len(loaders) != len(self._flat):
            raise InvalidValueError(
                f"Mismatch in flattened length ({len(loaders)}) and existing length ({len(self._flat)}): a "
                "CombinedLoader keeps its number of loaders"
            )
        self._flat = list(loaders)

    @property
    def mode(self) -> Mode:
        """When to stop; see the class."""
        return self._mode

    @property
    def sampler(self) -> Any:
        """The loaders' samplers in the shape of ``iterables``; None for a loader without one."""
        return self._map(lambda loader: getattr(loader, "sampler", None))

    @property
    def batch_sampler(self) -> Any:
        """The loaders' batch samplers in the shape of ``iterables``; None for a loader without one."""
        return self._map(lambda loader: getattr(loader, "batch_sampler", None))

    def __iter__(self) -> CombinedLoader:
        self._iterator = self._sequential() if self._mode == "sequential" else self._together()
        return self

    def __next__(self) -> tuple[Any, int, int]:
        if self._iterator is None:
            raise InvalidStateError("A CombinedLoader gives batches only after iter()", advice="Iterate with `for`.")
        return next(self._iterator)

    def __len__(self) -> int:
        """Number of steps.

        Raises:
            InvalidTypeError: a loader whose length matters has none.
        """
        lengths = self._lengths()
        if self._mode == "sequential":
            total = sum(map(min, lengths, self.limits or [float("inf")] * len(lengths)))
        else:
            total = (min if self._mode == "min_size" else max)(lengths, default=0)
            total = min([total, *(self.limits or [])])
        if total == float("inf"):
            raise InvalidTypeError("The length of this CombinedLoader is unknown: a loader in it has no len()")
        return int(total)

    def reset(self) -> None:
        """Forget the iteration in progress; workers of the loaders end with their iterators."""
        self._iterator = None

    def _lengths(self) -> list[float]:
        return [float(len(loader)) if isinstance(loader, Sized) else float("inf") for loader in self._flat]

    def _map(self, function: Callable[[Any], Any]) -> Any:
        return pytree.tree_unflatten([function(loader) for loader in self._flat], self._spec)

    def _sequential(self) -> Iterator[tuple[Any, int, int]]:
        for index, loader in enumerate(self._flat):
            limit = self.limits[index] if self.limits else float("inf")
            if limit == 0:
                continue
            for batch_idx, batch in enumerate(loader):
                yield batch, batch_idx, index
                if batch_idx + 1 >= limit:  # before the next batch is drawn from the loader
                    break

    def _together(self) -> Iterator[tuple[Any, int, int]]:
        limit = min(self.limits) if self.limits else float("inf")
        iterators: list[Iterator[Any] | None] = [iter(loader) for loader in self._flat]
        spent = [False] * len(iterators)
        batch_idx = 0
        while iterators and batch_idx < limit:
            batches = []
            for i in range(len(iterators)):
                batch, iterators[i] = self._draw(i, iterators[i], spent)
                if spent[i] and (self._mode == "min_size" or all(spent)):
                    return
                batches.append(batch)
            yield pytree.tree_unflatten(batches, self._spec), batch_idx, 0
            batch_idx += 1

    def _draw(self, i: int, iterator: Iterator[Any] | None, spent: list[bool]) -> tuple[Any, Iterator[Any] | None]:
        """The next batch of loader ``i``, its iterator from now on; notes in ``spent`` that it has ended once."""
        if iterator is None:
            return None, None
        try:
            return next(iterator), iterator
        except StopIteration:
            spent[i] = True
        if self._mode != "max_size_cycle" or all(spent):
            return None, None
        again = iter(self._flat[i])
        try:
            return next(again), again
        except StopIteration:  # an empty loader can't be cycled
            return None, None


def _is_loader(node: Any) -> bool:
    """Whether a list, tuple or dict is itself a loader: one of plain values, such as ``[0, 1, 2]``."""
    values = list(node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ())
    return bool(values) and all(isinstance(value, int | float | str) for value in values)
