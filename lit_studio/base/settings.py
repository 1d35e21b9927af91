"""Where Lit Studio keeps its state and which value of a setting wins.

It must not know what a setting is used for. Directories follow the XDG base directory specification;
``LIT_STUDIO_HOME`` puts all of them under one folder. Everything is created with mode 0700.
Precedence: environment (``LIT_STUDIO_<NAME>``) > ``[tool.lit-studio]`` in the nearest ``pyproject.toml`` >
``config.toml`` in :func:`config_home` > default. Arguments and flags come before all of these, at the caller's.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lit_studio.base.errors import InvalidValueError

_HOME = "LIT_STUDIO_HOME"


def _home(variable: str, fallback: str, part: str) -> Path:
    if home := os.environ.get(_HOME):
        return Path(home).expanduser() / part
    base = os.environ.get(variable)
    return (Path(base) if base else Path.home() / fallback) / "lit-studio"


def config_home() -> Path:
    """``$XDG_CONFIG_HOME/lit-studio``; not created."""
    return _home("XDG_CONFIG_HOME", ".config", "config")


def data_home() -> Path:
    """``$XDG_DATA_HOME/lit-studio``: what should outlive the session; not created."""
    return _home("XDG_DATA_HOME", ".local/share", "data")


def cache_home() -> Path:
    """``$XDG_CACHE_HOME/lit-studio``: what can be made again; not created."""
    return _home("XDG_CACHE_HOME", ".cache", "cache")


def runtime_home() -> Path:
    """``$XDG_RUNTIME_DIR/lit-studio``, else ``runtime`` in :func:`data_home`; gone after a logout; not created."""
    if os.environ.get(_HOME) or not os.environ.get("XDG_RUNTIME_DIR"):
        return data_home().parent / "runtime" if os.environ.get(_HOME) else data_home() / "runtime"
    return Path(os.environ["XDG_RUNTIME_DIR"]) / "lit-studio"


def private_directory(path: Path) -> Path:
    """Create ``path`` and its missing parents, each with mode 0700, and return it."""
    for folder in (*reversed(path.parents), path):  # ``parents=True`` would give the parents the default mode
        folder.mkdir(mode=0o700, exist_ok=True)
    return path


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: as in a TOML file; a dot means a table. The environment variable has underscores.
        default: its value where nothing says otherwise.
        choices: what it may be; ``("number",)`` for any number ≥ 0.
        meaning: one sentence.
    """

    name: str
    default: str
    choices: tuple[str, ...]
    meaning: str


NUMBER = ("number",)
SETTINGS = {
    "mode": Setting(
        "mode",
        "live",
        ("live", "plain", "off"),
        "What a run shows: the live dashboard, one plain line of progress, or nothing.",
    ),
    "media.item_mb": Setting("media.item_mb", "4", NUMBER, "The largest picture, table or text that a run keeps, MB."),
    "media.run_mb": Setting("media.run_mb", "256", NUMBER, "How much of them a run keeps in all, MB."),
}


@dataclass(frozen=True, slots=True)
class Resolved:
    """The value of a setting and where it came from."""

    value: str
    source: str


def resolve(name: str, directory: Path | None = None) -> Resolved:
    """The value of the setting ``name`` as seen from ``directory`` (default: the current one).

    Raises:
        InvalidValueError: the setting is unknown, or its value is not one of its choices.
    """
    if name not in SETTINGS:
        raise InvalidValueError("No such setting", value=name, valid=", ".join(SETTINGS))
    setting = SETTINGS[name]
    variable = f"LIT_STUDIO_{name.upper().replace('.', '_')}"
    if variable in os.environ:
        return _checked(setting, os.environ[variable], f"environment variable {variable}")
    for source, table in _files(directory or Path.cwd()):
        value = _look_up(table, name)
        if value is not None:
            return _checked(setting, value, source)
    return Resolved(setting.default, "default")


def resolve_number(name: str, directory: Path | None = None) -> float:
    """:func:`resolve` for a setting that is a number.

    Raises:
        InvalidValueError: as for :func:`resolve`.
    """
    return float(resolve(name, directory).value)


def _look_up(table: dict[str, Any], name: str) -> Any:
    found: Any = table
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _checked(setting: Setting, value: Any, source: str) -> Resolved:
    if setting.choices == NUMBER:
        with contextlib.suppress(ValueError, TypeError):
            if not isinstance(value, bool) and 0 <= float(value) < float("inf"):
                return Resolved(str(value), source)
        raise InvalidValueError(f"The setting {setting.name!r} ({source}) is no number", value=value, valid="≥ 0")
    if value not in setting.choices:
        raise InvalidValueError(
            f"The setting {setting.name!r} ({source}) has an unknown value",
            value=value,
            valid=" or ".join(setting.choices),
        )
    return Resolved(value, source)


def _files(directory: Path) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for folder in (directory, *directory.parents):
        project = folder / "pyproject.toml"
        if project.is_file():
            table = _read_toml(project).get("tool", {}).get("lit-studio", {})
            found.append((str(project), table))
            break
    user = config_home() / "config.toml"
    if user.is_file():
        found.append((str(user), _read_toml(user)))
    return found


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        state = path.stat()
        return _parsed(path, state.st_mtime_ns, state.st_size)
    except (OSError, ValueError) as error:
        raise InvalidValueError(f"{path} can't be read as TOML ({error})", advice="Mend or remove the file.") from error


@lru_cache(maxsize=8)
def _parsed(path: Path, changed: int, size: int) -> dict[str, Any]:
    # Every Trainer asks, and to parse a project's file takes longer than all else that it does before a fit.
    return tomllib.loads(path.read_text(encoding="utf-8"))
