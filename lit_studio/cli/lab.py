"""Opening JupyterLab in a folder: checks first, then this process becomes the server.

It must not know what the server extension does; JupyterLab finds that by its own configuration.
"""

from __future__ import annotations

import difflib
import os
import socket
import sys
import urllib.parse
from importlib.util import find_spec
from pathlib import Path

from lit_studio.base.errors import InvalidStateError, InvalidValueError, MissingDependencyError
from lit_studio.cli import terminal

FIRST_PORT = 8888
_TRIED = 100
HOST = "127.0.0.1"


def open_lab(folder: Path, file: Path | None, port: int | None, browser: bool, commands: list[str]) -> None:
    """Become a JupyterLab server whose root is ``folder``; returns only by an error.

    Args:
        folder: the folder to work in.
        file: a file in it to open.
        port: the port; None for the first free one from 8888 on.
        browser: whether to open a browser.
        commands: names of the commands there are, for a hint after a typing error.

    Raises:
        InvalidValueError: there is no such folder or file.
        InvalidStateError: the port is in use; the advice names one that is free.
        MissingDependencyError: JupyterLab is not installed.
    """
    if not folder.is_dir():
        close = difflib.get_close_matches(str(folder), commands, n=1)
        advice = f"Did you mean: lit-studio {close[0]}" if close else "See: lit-studio --help"
        raise InvalidValueError("There is no such command or folder", value=str(folder), advice=advice)
    if file is not None:
        file = _inside(folder, file)
    if find_spec("jupyterlab") is None:
        raise MissingDependencyError("jupyterlab", extra="test", purpose="Opening the studio")
    chosen = _choose_port(port)
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if as_root:
        terminal.note("You are root, so whoever can reach this server is too. It listens on this machine only.")
    command = lab_command(folder.resolve(), file, chosen, browser, as_root)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - a list, so no shell is wanted


def lab_command(folder: Path, file: Path | None, port: int, browser: bool, as_root: bool) -> list[str]:
    """The command line of JupyterLab; ``file`` is relative to ``folder``."""
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={folder}",
        f"--ServerApp.ip={HOST}",
        f"--ServerApp.port={port}",
        # Another port than the one we announced would be a surprise.
        "--ServerApp.port_retries=0",
        # Nothing is asked from the network that nobody asked for.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    if file is not None:
        command.append(f"--LabApp.default_url=/lab/tree/{urllib.parse.quote(file.as_posix())}")
    if not browser:
        command.append("--no-browser")
    if as_root:
        command.append("--allow-root")
    return command


def _inside(folder: Path, file: Path) -> Path:
    path = (folder / file).resolve()
    if not path.is_file():
        raise InvalidValueError(f"There is no such file in {folder}", value=str(file))
    if not path.is_relative_to(folder.resolve()):
        raise InvalidValueError("The file to open must lie in the folder", value=str(file), valid=f"a file in {folder}")
    return path.relative_to(folder.resolve())


def _choose_port(port: int | None) -> int:
    if port is None:
        chosen = next_free_port(FIRST_PORT)
        if chosen != FIRST_PORT:
            terminal.note(f"Port {FIRST_PORT} is in use; using {chosen}.")
        return chosen
    if not port_is_free(port):
        free = next_free_port(port + 1)
        raise InvalidStateError(f"Port {port} is in use", advice=f"This one is free: lit-studio --port {free}")
    return port


def port_is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` of this machine."""
    with socket.socket() as probe:
        if os.name == "posix":  # as servers do: a port whose last connection just closed is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def next_free_port(start: int) -> int:
    """The first free port from ``start`` on, else any.

    Raises:
        OSError: no port at all is left.
    """
    for port in range(start, min(start + _TRIED, 65536)):
        if port_is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
