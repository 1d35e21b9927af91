"""Which checkpoints a logger should upload, and holding on to their files until it has.

It must not know where they go, nor how a checkpoint callback chooses what to keep.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SETTINGS = ("monitor", "mode", "save_last", "save_top_k", "save_weights_only")


@dataclass(frozen=True)
class Upload:
    """A checkpoint on its way.

    Attributes:
        path: the file, ours until :meth:`release`.
        name: the file's own name.
        metadata: score, file name and the callback's settings, in plain types.
        aliases: ``latest``, and ``best`` for the best one.
    """

    path: Path
    name: str
    metadata: dict[str, Any]
    aliases: list[str]

    def release(self) -> None:
        """Let the file go."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


def uploads(callback: Any, seen: dict[str, float]) -> list[Upload]:
    """The checkpoints that ``callback`` keeps and that are new since the last call, the oldest first.

    Args:
        callback: a ``ModelCheckpoint``, or another checkpoint callback with some of its attributes.
        seen: modification times by path, kept up to date here.
    """
    scores: dict[str, Any] = {}
    for path, score in (("last_model_path", "current_score"), ("best_model_path", "best_model_score")):
        if getattr(callback, path, None):
            scores[getattr(callback, path)] = getattr(callback, score, None)
    scores.update(getattr(callback, "best_k_models", None) or {})
    found = sorted((os.stat(path).st_mtime, path) for path in scores if Path(path).is_file())  # noqa: PTH116
    fresh = [(changed, path) for changed, path in found if seen.get(path, -1.0) < changed]
    seen.update({path: changed for changed, path in fresh})
    return [_upload(callback, path, scores[path]) for _, path in fresh]


def _upload(callback: Any, path: str, score: Any) -> Upload:
    settings = {name: getattr(callback, name) for name in SETTINGS if hasattr(callback, name)}
    metadata = {
        "score": None if score is None else float(score),
        "original_filename": Path(path).name,
        type(callback).__name__: settings,
    }
    best = path == getattr(callback, "best_model_path", None)
    return Upload(_held(Path(path)), Path(path).name, metadata, ["latest", "best"] if best else ["latest"])


def _held(path: Path) -> Path:
    """The same file under a second name: the callback may remove its own before the upload is done."""
    folder = Path(tempfile.mkdtemp(prefix=".upload-", dir=path.parent))
    held = folder / path.name
    with contextlib.suppress(OSError):
        os.link(path, held)
    if not held.exists():  # a file system without hard links
        shutil.copy2(path, held)
    return held


class CheckpointUploads:
    """When to upload: ``log_model`` of the loggers that keep checkpoints as artifacts.

    Args:
        log_model: ``"all"`` uploads each as it is written; True what is kept at the end, or each where the callback
            keeps all; False none.
    """

    def __init__(self, log_model: Any):
        self.log_model = log_model
        self._seen: dict[str, float] = {}
        self._later: dict[int, Any] = {}

    def after_save(self, callback: Any) -> list[Upload]:
        """``callback`` has written: what to upload now."""
        if self.log_model == "all" or (self.log_model is True and getattr(callback, "save_top_k", None) == -1):
            return uploads(callback, self._seen)
        if self.log_model is True:
            self._later[id(callback)] = callback
        return []

    def at_end(self) -> list[Upload]:
        """The run is over: what to upload."""
        return [upload for callback in self._later.values() for upload in uploads(callback, self._seen)]

    def __getstate__(self) -> dict[str, Any]:
        # A callback may hold what can't be pickled; another process has its own.
        return {**self.__dict__, "_later": {}}
