"""One file from an address to a place, whole or not at all.

It must not know what is in the file.
"""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from lit_studio.base.errors import PathNotFoundError
from lit_studio.base.files import draft_of

TIMEOUT = 30.0
PIECE = 1 << 20


def fetch(address: str, target: Path) -> None:
    """Download ``address`` to ``target``, whose folder is made.

    Args:
        address: an ``http``, ``https`` or ``file`` address.
        target: where to; a file that is there is replaced once the new one is complete.

    Raises:
        PathNotFoundError: nobody answers within half a minute, or the file isn't there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_of(target)
    try:
        with urlopen(address, timeout=TIMEOUT) as answer, draft.open("wb") as file:  # noqa: S310 - the caller says which
            while piece := answer.read(PIECE):
                file.write(piece)
        draft.replace(target)
    except (URLError, OSError) as error:
        raise PathNotFoundError(
            f"{target.name} could not be downloaded: {error}",
            value=address,
            advice=f"Put the file there yourself: {target}",
        ) from error
    finally:
        draft.unlink(missing_ok=True)
