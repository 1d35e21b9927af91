"""Small files of JSON that are replaced whole or not at all.

It must not know what they say, nor import anything of the house: keepers load it, one for each kernel.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any


def replace_json(path: Path, value: Any, mode: int = 0o666, allow_nan: bool = False) -> None:
    """Replace ``path`` by ``value`` as JSON in one step (temporary file and rename, no fsync).

    Args:
        path: the file.
        value: what ``json`` takes.
        mode: of a new file, before the umask.
        allow_nan: whether NaN and infinities are written, which JSON itself doesn't have.

    Raises:
        OSError: the disk is full, or the folder is gone.
        ValueError: a NaN where none is allowed.
    """
    text = json.dumps(value, allow_nan=allow_nan)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(file, "w", encoding="utf-8") as writer:
            writer.write(text)
        draft.replace(path)
    except BaseException:  # a full disk must not be left with a part of it
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
