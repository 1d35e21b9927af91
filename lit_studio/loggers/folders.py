"""Loggers that write into numbered folders, and the hyper-parameters in these.

It must not know what a logger writes there, nor any file format but ``hparams.yaml``.
"""

from __future__ import annotations

import enum
import os
import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lit_studio.loggers.base import Logger, is_rank_zero

HPARAMS_FILE = "hparams.yaml"
_VERSION = re.compile(r"version_(\d+)")


def reserve_version(root: Path) -> int:
    """Make the next ``version_<N>`` in ``root`` and return N; on other ranks than 0 nothing is made.

    Making the folder is what reserves it, so that two processes never get the same one.

    Raises:
        OSError: ``root`` can't be made or written.
    """
    if is_rank_zero():
        root.mkdir(parents=True, exist_ok=True)
    elif not root.is_dir():
        return 0
    while True:
        taken = [int(match[1]) for name in os.listdir(root) if (match := _VERSION.fullmatch(name))]  # noqa: PTH208
        version = max(taken, default=-1) + 1
        if not is_rank_zero():  # a guess, until the ranks agree on rank 0's
            return version
        try:
            (root / f"version_{version}").mkdir()
        except FileExistsError:  # another process was faster
            continue
        return version


def version_folder(root: Path, version: int | str) -> Path:
    """Where ``version`` lies in ``root``: a number in ``version_<N>``, a name under that name."""
    return root / (version if isinstance(version, str) else f"version_{version}")


class FolderLogger(Logger):
    """A logger whose experiments lie in ``<save_dir>/<name>/version_<N>``.

    Args:
        save_dir: where experiments are kept.
        name: the experiment's folder; None or empty puts versions into ``save_dir`` itself.
        version: a number or a folder's name; None takes the next free number when it is first asked for, and makes
            its folder then, so that no other process gets it.
        prefix: put before each metric's name with ``-``.
    """

    LOGGER_JOIN_CHAR = "-"

    def __init__(self, save_dir: str | Path, name: str | None, version: int | str | None, prefix: str):
        self._save_dir = os.fspath(save_dir)
        self._name = name or ""
        self._version = version
        self._prefix = prefix

    @property
    def name(self) -> str:
        """The experiment's folder."""
        return self._name

    @property
    def version(self) -> int | str:
        """The version, reserved when first asked for."""
        if self._version is None:
            self._version = reserve_version(Path(self.root_dir))
        return self._version

    @property
    def save_dir(self) -> str:
        """Where experiments are kept."""
        return self._save_dir

    @property
    def root_dir(self) -> str:
        """The folder of all versions."""
        return str(Path(self._save_dir) / self._name)

    @property
    def log_dir(self) -> str:
        """The folder of this version."""
        version = self.version
        return str(version_folder(Path(self.root_dir), version))


def write_hparams(folder: Path, params: Mapping[str, Any]) -> None:
    """Write ``params`` to ``hparams.yaml`` in ``folder``, whole or not at all, readable with YAML's safe loader.

    What YAML has no word for is written as text: an enumeration's member by its name, a path as it is, a small
    tensor or array as numbers, anything else as its ``repr``.
    """
    import yaml

    draft = folder / f".{HPARAMS_FILE}.{os.getpid()}.tmp"
    text = yaml.safe_dump(plain(dict(params)), sort_keys=False, allow_unicode=True)
    draft.write_text(text, encoding="utf-8")
    draft.replace(folder / HPARAMS_FILE)


def plain(value: Any) -> Any:
    """``value`` in the types that every format has: dict, list, str, int, float, bool and None."""
    if value is None or isinstance(value, enum.Enum):
        return None if value is None else value.name
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, torch.Tensor) or type(value).__module__ == "numpy":
        return plain(value.tolist()) if _elements(value) <= 64 else f"{type(value).__name__}{tuple(value.shape)}"
    if isinstance(value, type) or callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', repr(value))}".lstrip(".")
    return repr(value)


def _elements(value: Any) -> int:
    return value.numel() if isinstance(value, torch.Tensor) else int(value.size)


def number(value: Any) -> float | int:
    """A metric as a plain number; one-element tensors and arrays are read."""
    if isinstance(value, bool | int | float):
        return value
    return value.item() if hasattr(value, "item") else float(value)


def with_prefix(metrics: Mapping[str, Any], prefix: str, join: str) -> dict[str, Any]:
    """``metrics`` with ``prefix`` and ``join`` before each name, if there is a prefix."""
    return {f"{prefix}{join}{name}": value for name, value in metrics.items()} if prefix else dict(metrics)


def flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Nested hyper-parameters as ``a/b``, each a number or text."""
    found: dict[str, bool | int | float | str] = {}
    for key, value in params.items():
        if isinstance(value, Namespace):
            value = vars(value)
        if isinstance(value, Mapping):
            found.update(flat(value, f"{prefix}{key}/"))
        else:
            simple = plain(value)
            found[f"{prefix}{key}"] = simple if isinstance(simple, bool | int | float | str) else str(simple)
    return found
