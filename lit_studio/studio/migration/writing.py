"""Putting migrated files in place, each whole or not at all, so that a person can go back.

It must not know what was changed in them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lit_studio.base.files import draft_of
from lit_studio.studio.migration.findings import Migrated


@dataclass(frozen=True)
class Written:
    """A file that was replaced.

    Attributes:
        path: the file.
        backup: where its old content lies; None if git has it.
    """

    path: Path
    backup: Path | None


def write(migrated: Migrated) -> Written | None:
    """Replace a file by what became of it; None if nothing did.

    What git has committed can be had back from there. Of anything else a copy stays beside it, ``NAME.orig``; one that
    is there already, from an earlier time, is kept.

    Args:
        migrated: the file.

    Raises:
        OSError: the folder can't be written.
    """
    if not migrated.changed:
        return None
    path = migrated.path.resolve()
    backup = None
    if not _is_committed(path):
        backup = path.with_name(f"{path.name}.orig")
        if not backup.exists():
            shutil.copy2(path, backup)
    draft = draft_of(path)
    try:
        with draft.open("wb") as file:
            file.write(migrated.data)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return Written(migrated.path, backup)


def _is_committed(path: Path) -> bool:
    """Whether git has exactly this content of the file."""
    for question in (["ls-files", "--error-unmatch"], ["diff", "--quiet", "HEAD"]):
        command = ["git", "-C", str(path.parent), *question, "--", path.name]
        try:
            if subprocess.run(command, capture_output=True, check=False).returncode:
                return False
        except OSError:  # no git here
            return False
    return True
