"""The guide notebooks that come with the package, and copying one into a folder.

It must not know requests, nor overwrite anything: what a person has made of a guide is theirs.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import lit_studio
from lit_studio.base.errors import InvalidValueError


def guide_directory() -> Path:
    """Where the guides are: inside the installed package, or beside it in a checkout."""
    package = Path(lit_studio.__file__).parent
    installed = package / "_guide"
    return installed if installed.is_dir() else package.parent / "notebooks" / "guide"


def copy_guide(name: str, source: Path, folder: Path) -> Path:
    """Copy the guide ``name`` from ``source`` into ``folder`` unless a file of that name is there; return its path.

    Raises:
        InvalidValueError: there is no such guide; the message lists those there are.
        OSError: the folder can't be written.
    """
    known = sorted(path.stem for path in source.glob("*.ipynb"))
    if name not in known:
        raise InvalidValueError("There is no guide of this name", value=name, valid=", ".join(known) or "none is here")
    content = (source / f"{name}.ipynb").read_bytes()
    target = folder / f"{name}.ipynb"
    with contextlib.suppress(FileExistsError), target.open("xb") as file:
        file.write(content)
    return target
