"""Where a kernel's keeper, its journal and its state lie on disk, for whoever looks for them after a crash.

It must not know what is in these files, nor start or stop anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LONGEST_SOCKET_PATH = 106  # bytes; what the address of a unix socket has room for, on Linux with its closing zero


def studio_runtime() -> Path:
    """The folder of what lives as long as the machine runs, made if it is missing; for its owner only.

    Raises:
        OSError: it can't be made.
    """
    from jupyter_core.paths import jupyter_runtime_dir  # a keeper, which has its folder, need not load this

    return _private(Path(jupyter_runtime_dir()).absolute() / "lit-studio")


def kernels_home() -> Path:
    """The folder of all kernels' folders, made if it is missing; for its owner only, as messages lie in it.

    Raises:
        OSError: it can't be made.
    """
    return _private(studio_runtime() / "kernels")


def sockets_home() -> Path:
    """The folder of kernels' sockets, made if it is missing; for its owner only, as zmq lets everybody connect.

    Raises:
        OSError: it can't be made.
    """
    return _private(studio_runtime() / "s")  # the whole path has to be short


def _private(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def all_places() -> Iterator[KernelPlace]:
    """The places of all kernels of this user that are known here, living and ended."""
    for folder in sorted(kernels_home().iterdir()):
        if folder.is_dir():
            yield KernelPlace(folder)


@dataclass(frozen=True)
class KernelPlace:
    """One kernel's folder.

    Attributes:
        folder: named after the kernel's id.
    """

    folder: Path

    @classmethod
    def of(cls, kernel_id: str) -> KernelPlace:
        """The place of the kernel with this id, whether it exists or not."""
        return cls(kernels_home() / kernel_id)

    @property
    def kernel_id(self) -> str:
        """The kernel's id."""
        return self.folder.name

    @property
    def spec(self) -> Path:
        """What the kernel was started with: command, environment, folder, connection; readable by its owner only."""
        return self.folder / "spec.json"

    @property
    def state(self) -> Path:
        """What the keeper knows: processes, status, exit code."""
        return self.folder / "state.json"

    @property
    def owner(self) -> Path:
        """Which server has the kernel."""
        return self.folder / "owner.json"

    @property
    def policy(self) -> Path:
        """When the kernel is to be ended for being idle."""
        return self.folder / "policy.json"

    @property
    def ending(self) -> Path:
        """Is there if somebody has asked for the kernel's end, so that nobody starts it again."""
        return self.folder / "ending"

    @property
    def waiting(self) -> Path:
        """Requests that were sent to the kernel and that it hasn't begun."""
        return self.folder / "waiting.json"

    @property
    def journal(self) -> Path:
        """The folder of the journal's segments."""
        return self.folder / "journal"

    @property
    def execution(self) -> Path:
        """What the kernel's main shell does now; written by the kernel, a few hundred bytes."""
        return self.folder / "execution"

    @property
    def hooks(self) -> Path:
        """Which of our hooks the kernel's own ipykernel took."""
        return self.folder / "hooks.json"

    @property
    def kernel_info(self) -> Path:
        """The kernel's answer to ``kernel_info_request``, kept so that a busy kernel need not be asked."""
        return self.folder / "kernel_info.json"

    @property
    def log(self) -> Path:
        """The kernel's own standard output and error, below Python's."""
        return self.folder / "kernel.log"

    @property
    def keeper_log(self) -> Path:
        """What went wrong in the keeper."""
        return self.folder / "keeper.log"
