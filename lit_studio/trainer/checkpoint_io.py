"""Checkpoint plugins: ways of one's own to write, read and remove a checkpoint, and a writer in the background.

It must not know what a checkpoint holds or when one is written.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from lit_studio.base.errors import InvalidTypeError
from lit_studio.trainer.batches import map_tensors
from lit_studio.trainer.checkpoint import read_checkpoint, write_checkpoint


class CheckpointIO(ABC):
    """Saves and loads checkpoints in another way or another place than a local file; pass it as a plugin."""

    @abstractmethod
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``.

        Args:
            checkpoint: the state.
            path: where to.
            storage_options: what ``Trainer.save_checkpoint`` was given for this plugin.
        """

    @abstractmethod
    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read what :meth:`save_checkpoint` wrote.

        Args:
            path: where from.
            map_location: as in ``torch.load``.
            weights_only: as in ``torch.load``.
        """

    @abstractmethod
    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove it."""

    def teardown(self) -> None:  # noqa: B027 - optional
        """The call is over: finish what is under way."""


class TorchCheckpointIO(CheckpointIO):
    """Local files, written whole or not at all and verified before they are read; what happens without a plugin."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to the file ``path``.

        Raises:
            InvalidTypeError: ``storage_options``, for which a local file has no use.
            CheckpointError: it could not be written.
        """
        if storage_options is not None:
            raise InvalidTypeError(
                f"`Trainer.save_checkpoint(..., storage_options=...)` is not supported for `{type(self).__name__}`",
                value=storage_options,
                advice="Implement a CheckpointIO of your own to use them.",
            )
        write_checkpoint(path, checkpoint)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read the file ``path``; tensors come to the host's memory unless ``map_location`` says otherwise.

        Raises:
            CheckpointNotFoundError: there is no such file.
            CheckpointCorruptError: it is damaged.
        """
        checkpoint: dict[str, Any] = read_checkpoint(path, map_location or "cpu", weights_only)
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove the file, or the folder, if it is there."""
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path)
        else:
            Path(path).unlink(missing_ok=True)


class AsyncCheckpointIO(CheckpointIO):
    """Writes in the background, one checkpoint after the other; training goes on once the tensors are copied.

    Reading waits for what is being written. A file is removed in its turn, and stays if a write before it failed. An
    error of a write is raised by the next one or at the end.

    Args:
        checkpoint_io: what writes and reads; :class:`TorchCheckpointIO` by default.
    """

    def __init__(self, checkpoint_io: CheckpointIO | None = None):
        self.checkpoint_io = checkpoint_io or TorchCheckpointIO()
        self._thread: ThreadPoolExecutor | None = None
        self._writes: list[Future[None]] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_thread": None, "_writes": []}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Copy the tensors and let the rest happen in the background.

        Raises:
            Exception: what an earlier write raised.
        """
        self._raise_failed()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint writer")
        copied = map_tensors(checkpoint, _copy)
        more = {} if storage_options is None else {"storage_options": storage_options}
        self._writes.append(self._thread.submit(self.checkpoint_io.save_checkpoint, copied, path, **more))

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read, once nothing is being written any more."""
        self._wait()
        more = {} if weights_only is None else {"weights_only": weights_only}
        return self.checkpoint_io.load_checkpoint(path, map_location, **more)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove in the background, after what is being written."""
        before = tuple(self._writes)
        if self._thread is None or not before:
            self.checkpoint_io.remove_checkpoint(path)
            return

        def remove() -> None:
            if all(one.exception() is None for one in before):  # else it may be the only good one
                self.checkpoint_io.remove_checkpoint(path)

        self._writes.append(self._thread.submit(remove))

    def teardown(self) -> None:
        """Wait for what is being written, and end the thread.

        Raises:
            Exception: what a write raised.
        """
        try:
            self._wait()
        finally:
            thread, self._thread = self._thread, None
            if thread is not None:
                thread.shutdown()
            self.checkpoint_io.teardown()

    def _wait(self) -> None:
        writes, self._writes = self._writes, []
        failed = [error for one in writes if (error := one.exception()) is not None]
        if failed:
            raise failed[0]

    def _raise_failed(self) -> None:
        done = [one for one in self._writes if one.done()]
        self._writes = [one for one in self._writes if one not in done]
        for one in done:
            one.result()


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    """As it is at this moment, in the host's memory."""
    return tensor.detach().cpu() if tensor.device.type != "cpu" else tensor.detach().clone()
