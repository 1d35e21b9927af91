"""Where a kernel's keeper, its journal and its state lie on disk, for whoever looks for them after a crash.

It must not know what is in these files, nor start or stop anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir


def kernels_home() -> Path:
    """The folder of all kernels' folders, made if it is missing; for its owner only, as messages lie in it.

    Raises:
        OSError: it can't be made.
    """
    home = Path(jupyter_runtime_dir()) / "lit-studio" / "kernels"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    return home


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
    def policy(self) -> Path:
        """When the kernel is to be ended for being idle."""
        return self.folder / "policy.json"

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
