"""The part of Fabric that saves and loads a loop's state.

It must not know how a file is written: the strategy gives and takes state, ``checkpoint.py`` moves it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from lit_studio.base.errors import CheckpointError, InvalidTypeError, InvalidValueError
from lit_studio.base.events import CheckpointSaved
from lit_studio.fabric.ranks import FabricRanks
from lit_studio.fabric.wrappers import uncovered
from lit_studio.trainer.checkpoint import read_checkpoint, write_checkpoint

Filter = Callable[[str, Any], bool]


class FabricCheckpoints(FabricRanks):
    """A checkpoint is a dict of the user's: models and optimizers in it are saved by their state, the rest as it is."""

    def save(self, path: str | Path, state: dict[str, Any], filter: dict[str, Filter] | None = None) -> None:
        """Write ``state`` to ``path``, whole or not at all.

        Args:
            path: the file.
            state: models, optimizers, anything with a ``state_dict``, and plain values, by name.
            filter: for an entry of ``state`` what of its state to keep: a function of name and value.

        Raises:
            InvalidTypeError: ``filter`` is no dict of functions.
            InvalidValueError: ``filter`` names what ``state`` doesn't have.
            CheckpointError: there is not enough space, or an entry can't be pickled.
        """
        _check_filter(filter, state)
        found = {key: self._state_of(value) for key, value in state.items()}
        for key, keep in (filter or {}).items():
            found[key] = {name: value for name, value in found[key].items() if keep(name, value)}
        io = self._checkpoint_io
        write = write_checkpoint if io is None else lambda path, state: io.save_checkpoint(state, path)
        self._strategy.on_rank_zero(lambda: write(path, found))
        self._run.emit(CheckpointSaved(time.time(), *self._run.at(), str(path), "user"))

    def _state_of(self, value: Any) -> Any:
        value = uncovered(value)
        if isinstance(value, nn.Module):
            return self._strategy.module_state(value)
        if isinstance(value, Optimizer):
            return self._strategy.optimizer_state(value)
        return value.state_dict() if _is_stateful(value) else value

    def load(
        self,
        path: str | Path,
        state: dict[str, Any] | None = None,
        strict: bool = True,
        *,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read ``path`` and put what it holds into ``state``: models and optimizers in place, other values by name.

        Args:
            path: the file.
            state: objects as given to :meth:`save`; None returns the whole content.
            strict: whether every entry of ``state`` must be there, and every weight of its models.
            weights_only: as for ``torch.load``; None leaves torch's safe default.

        Returns:
            The entries that ``state`` doesn't name.

        Raises:
            CheckpointNotFoundError, CheckpointCorruptError: no such file, or a damaged one.
            CheckpointError: an entry of ``state`` is not in the file.
        """
        content = self._read(path, weights_only)
        self.barrier()
        if state is None:
            return content
        missing = [key for key in state if key not in content]
        if missing and strict:
            raise CheckpointError(
                f"The requested state contains a key {missing[0]!r} that does not exist in the loaded checkpoint",
                valid=", ".join(map(str, content)) or "nothing: it is empty",
                advice="Leave it out, or load with strict=False.",
            )
        for key in [key for key in state if key in content]:
            value = content.pop(key)
            if not self._put(uncovered(state[key]), value, strict):
                state[key] = value
        return content

    def load_raw(
        self, path: str | Path, obj: nn.Module | Optimizer, strict: bool = True, *, weights_only: bool | None = None
    ) -> None:
        """Put the bare state dict in ``path`` into one model or optimizer.

        Args:
            path: a file that holds what ``state_dict()`` returned.
            obj: where it goes.
            strict: whether a model's keys must match.
            weights_only: as for ``torch.load``.

        Raises:
            CheckpointNotFoundError, CheckpointCorruptError: no such file, or a damaged one.
            InvalidTypeError: ``obj`` has no state.
        """
        if not self._put(uncovered(obj), self._read(path, weights_only), strict):
            raise InvalidTypeError("This has no state to load", value=obj, valid="a module or an optimizer")

    def _read(self, path: str | Path, weights_only: bool | None) -> Any:
        if self._checkpoint_io is not None:
            return self._checkpoint_io.load_checkpoint(path)
        return read_checkpoint(path, "cpu", weights_only)

    def _put(self, target: Any, value: Any, strict: bool) -> bool:
        """Whether ``target`` has taken ``value`` as its state."""
        if isinstance(target, nn.Module):
            self._strategy.load_module_state(target, value, strict)
        elif isinstance(target, Optimizer):
            self._strategy.load_optimizer_state(target, value)
        elif _is_stateful(target):
            target.load_state_dict(value)
        else:
            return False
        return True


def _is_stateful(value: Any) -> bool:
    return callable(getattr(value, "state_dict", None)) and callable(getattr(value, "load_state_dict", None))


def _check_filter(filter: Any, state: dict[str, Any]) -> None:
    if filter is None:
        return
    if not isinstance(filter, dict):
        raise InvalidTypeError("Filter should be a dictionary", value=filter)
    if unknown := set(filter) - set(state):
        raise InvalidValueError(
            "The filter keys are not present in the state keys", value=sorted(unknown), valid=", ".join(state)
        )
    for key, keep in filter.items():
        if not callable(keep):
            raise InvalidTypeError(f"Expected the filter for {key!r} to be a callable", value=keep)
