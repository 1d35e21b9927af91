"""Whether this server's kernels outlive it, why not, and what has to be set on the server for that.

It must not know how kernels are kept or taken over.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_server.serverapp import ServerApp
from traitlets.config import Config

from lit_studio.extension.kernels import KeptKernelManager
from lit_studio.extension.websocket import KeptWebsocketConnection, PromptWebsocketConnection
from lit_studio.kernels.places import studio_runtime

MANAGER, CONNECTION, DATABASE = "kernel_manager_class", "kernel_websocket_connection_class", "database_filepath"
PROVISIONER = "default_provisioner_name"
KEEPER = "lit-keeper"
RIVAL = "jupyter_server_documents"
_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True)
class Persistence:
    """What was decided.

    Attributes:
        on: whether kernels outlive the server.
        reason: why they don't; empty if they do.
    """

    on: bool
    reason: str = ""


def decide(server: ServerApp, wanted: bool) -> Persistence:
    """Whether kernels can outlive ``server``, before it has made its kernel manager.

    Args:
        server: as configured.
        wanted: whether a person wants it.
    """
    config = server.config
    if not wanted:
        reason = "LitStudioApp.persistent_kernels is off."
    elif os.name != "posix":
        reason = "Kernels outlive the server on Linux and macOS only."
    elif has_gateway(config):
        reason = "Kernels are run by a gateway."
    elif server.jpserver_extensions.get(RIVAL):
        reason = (
            "jupyter-server-documents is enabled, which handles kernels' messages itself. Disable it for persistent "
            f"kernels: jupyter server extension disable {RIVAL}"
        )
    elif MANAGER in config.get("ServerApp", {}):
        reason = f"ServerApp.{MANAGER} is set to another class."
    elif PROVISIONER in config.get("KernelProvisionerFactory", {}) or os.environ.get(
        "JUPYTER_DEFAULT_PROVISIONER_NAME"
    ):
        reason = f"KernelProvisionerFactory.{PROVISIONER} is set to another provisioner."
    else:
        return Persistence(True)
    return Persistence(False, reason)


def has_gateway(config: Config) -> bool:
    """Whether kernels run elsewhere."""
    return bool(config.get("GatewayClient", {}).get("url") or os.environ.get("JUPYTER_GATEWAY_URL"))


def settings(server: ServerApp, persistence: Persistence, prompt: bool, database: str | None) -> dict[str, Any]:
    """What to set on the server; what a person has chosen is left alone.

    Args:
        server: as configured.
        persistence: what was decided.
        prompt: whether websockets send at once.
        database: the sessions' file; None if they end with the server.
    """
    found: dict[str, Any] = {"ServerApp": {}}
    if CONNECTION not in server.config.get("ServerApp", {}) and not has_gateway(server.config):
        if persistence.on:
            found["ServerApp"][CONNECTION] = KeptWebsocketConnection
            found["PromptWebsocketConnection"] = {"prompt": prompt}
        elif prompt:
            found["ServerApp"][CONNECTION] = PromptWebsocketConnection
    if persistence.on:
        found["ServerApp"][MANAGER] = KeptKernelManager
        found["KernelProvisionerFactory"] = {PROVISIONER: KEEPER}
        if database and DATABASE not in server.config.get("SessionManager", {}):
            found["SessionManager"] = {DATABASE: database}
    return found


class SessionsFile:
    """The file of the sessions of one root folder's server: which notebook has which kernel.

    Two servers that share it would forget each other's sessions, so the second one has none.

    Args:
        root: the server's root folder.
    """

    def __init__(self, root: str):
        name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]
        self._path = studio_runtime() / f"sessions-{name}.db"
        self._lock = -1

    def take(self) -> str | None:
        """The file's path; None if another server uses it."""
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        self._lock = lock
        if not _is_database(self._path):
            self._path.replace(self._path.with_suffix(".damaged"))
        return str(self._path)

    def leave(self) -> None:
        """Let the next server have it."""
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                os.close(self._lock)
            self._lock = -1


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) in (b"", _SQLITE)
    except FileNotFoundError:
        return True
