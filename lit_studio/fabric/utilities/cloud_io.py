"""Lightning's `lightning.fabric.utilities.cloud_io`: file systems.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.filesystems import get_filesystem

__all__ = [
    "get_filesystem",
]
