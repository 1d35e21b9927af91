"""Hyper-parameters in files of their own: YAML, and the older two-column CSV.

It must not know who made them or who will be made with them.
"""

from __future__ import annotations

import ast
import csv
import warnings
from argparse import Namespace
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from lit_studio.base.errors import InvalidStateError, InvalidTypeError

CHECKPOINT_PAST_HPARAMS_KEYS = ("hparams", "module_arguments")  # what files of early versions call them


def load_hparams_from_yaml(config_yaml: str | Path, use_omegaconf: bool = True) -> dict[str, Any]:
    """Hyper-parameters from a YAML file; a missing file gives a warning and an empty dict.

    Args:
        config_yaml: the file.
        use_omegaconf: accepted; plain dicts are read in any case.
    """
    path = Path(config_yaml)
    if not path.exists():
        warnings.warn(f"Missing Tags: {config_yaml}.", RuntimeWarning, stacklevel=2)
        return {}
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.FullLoader)  # noqa: S506 - makes no objects of ours
    return content if isinstance(content, dict) else {}


def save_hparams_to_yaml(config_yaml: str | Path, hparams: Any, use_omegaconf: bool = True) -> None:
    """Write hyper-parameters to a YAML file; what YAML can't hold is left out with a warning, enums go by their names.

    Args:
        config_yaml: the file; its folder must exist.
        hparams: a dict or a Namespace.
        use_omegaconf: accepted; what is not a plain value is left out.

    Raises:
        InvalidStateError: the folder is missing.
        InvalidTypeError: ``hparams`` is neither a dict nor a Namespace.
    """
    values = _as_dict(hparams, config_yaml)
    kept = {}
    for name, value in values.items():
        plain = value.name if isinstance(value, Enum) else value
        try:
            yaml.safe_dump(plain)
        except (yaml.YAMLError, TypeError, ValueError):
            warnings.warn(
                f"Skipping {name!r} parameter because it is not possible to safely dump to YAML.", stacklevel=2
            )
        else:
            kept[name] = plain
    Path(config_yaml).write_text(yaml.safe_dump(kept), encoding="utf-8")


def load_hparams_from_tags_csv(tags_csv: str | Path) -> dict[str, Any]:
    """Hyper-parameters from a file of lines ``key,value``; a missing file gives a warning and an empty dict."""
    path = Path(tags_csv)
    if not path.exists():
        warnings.warn(f"Missing Tags: {tags_csv}.", RuntimeWarning, stacklevel=2)
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row[0]: convert(row[1]) for row in list(csv.reader(file))[1:]}


def save_hparams_to_tags_csv(tags_csv: str | Path, hparams: Any) -> None:
    """Write hyper-parameters as lines ``key,value``.

    Raises:
        InvalidStateError: the folder is missing.
        InvalidTypeError: ``hparams`` is neither a dict nor a Namespace.
    """
    values = _as_dict(hparams, tags_csv)
    with Path(tags_csv).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("key", "value"), *values.items()])


def update_hparams(hparams: dict[str, Any], updates: Mapping[str, Any]) -> None:
    """Put ``updates`` into ``hparams``, nested dicts item by item."""
    for name, value in updates.items():
        if isinstance(value, dict) and name in hparams:
            update_hparams(hparams[name], value)
        else:
            hparams[name] = value


def convert(val: str) -> Any:
    """The Python value that ``val`` spells, or ``val`` itself."""
    try:
        return ast.literal_eval(val)
    except (ValueError, SyntaxError):
        return val


def _as_dict(hparams: Any, path: str | Path) -> dict[str, Any]:
    folder = Path(path).parent
    if not folder.is_dir():
        raise InvalidStateError(f"Missing folder: {folder}.", advice="Make it first.")
    if isinstance(hparams, Namespace):
        return dict(vars(hparams))
    if not isinstance(hparams, Mapping):
        raise InvalidTypeError("hparams must be dictionary", value=type(hparams).__name__)
    return dict(hparams)
