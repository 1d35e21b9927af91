"""The extension as Jupyter sees it: its options, its routes, and what it sets on the server.

It must not know how a question is answered.
"""

from __future__ import annotations

import os
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Bool, Float, Int, Unicode, default
from traitlets.config import Config

from lit_studio.compute import Meter
from lit_studio.extension.guides import guide_directory
from lit_studio.extension.handlers import url_patterns
from lit_studio.extension.overview import Overview
from lit_studio.extension.places import Places
from lit_studio.extension.websocket import PromptWebsocketConnection
from lit_studio.tracking import ReaderCache

CONNECTION = "kernel_websocket_connection_class"


class LitStudioApp(ExtensionApp):
    """Lit Studio's server side: runs, devices, kernels and guides under ``lit-studio/api``.

    Configured as any Jupyter application: ``c.LitStudioApp.recent_runs = 20`` in ``jupyter_lit_studio_config.py``,
    or ``--LitStudioApp.recent_runs=20``.
    """

    name = "lit_studio"
    version = version("lit-studio")
    load_other_extensions = True

    guide_dir = Unicode(
        help="Folder of guide notebooks that the launcher offers. Default: those that come with the package."
    ).tag(config=True)
    recent_runs = Int(10, min=1, help="How many runs the side panel lists; active ones come first.").tag(config=True)
    sample_every = Float(
        0.5,
        min=0.1,
        help="Seconds for which a reading of CPU, memory and GPUs is shared among all pages that ask.",
    ).tag(config=True)
    cached_runs = Int(32, min=1, help="How many runs are kept in memory for the next question.").tag(config=True)
    cached_mebibytes = Int(512, min=16, help="How much memory the runs that are kept may take, in MiB.").tag(
        config=True
    )
    prompt_websockets = Bool(
        True,
        help="Send each message to the browser at once (TCP_NODELAY on kernel websockets), which saves about 40 ms a "
        "cell. Has no effect where ServerApp.kernel_websocket_connection_class is set.",
    ).tag(config=True)

    @default("guide_dir")
    def _default_guide_dir(self) -> str:
        return str(guide_directory())

    @cached_property
    def places(self) -> Places:
        """Where runs and folders may lie."""
        return Places(Path(self._server.root_dir))

    @cached_property
    def readers(self) -> ReaderCache:
        """Readers of runs."""
        return ReaderCache(self.cached_runs, self.cached_mebibytes * 1024 * 1024)

    @cached_property
    def overview(self) -> Overview:
        """What the side panel shows."""
        return Overview(self.places, self.readers, Meter(self.sample_every), self.recent_runs)

    @property
    def guides(self) -> Path:
        """Folder of guide notebooks."""
        return Path(self.guide_dir)

    @property
    def _server(self) -> ServerApp:
        assert self.serverapp is not None
        return self.serverapp

    def initialize_handlers(self) -> None:
        """Register the routes."""
        self.handlers.extend(url_patterns())

    def _link_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        super()._link_jupyter_server_extension(serverapp)
        # This runs before the server makes its web application, and before it reads where its gateway is.
        if self.prompt_websockets and not _has_connection_class(serverapp.config):
            setting: dict[str, Any] = {"ServerApp": {CONNECTION: PromptWebsocketConnection}}
            serverapp.update_config(Config(setting))


def _has_connection_class(config: Config) -> bool:
    """Whether a connection class was chosen, by a person (who knows better) or with a gateway (which has its own)."""
    gateway = config.get("GatewayClient", {}).get("url") or os.environ.get("JUPYTER_GATEWAY_URL")
    return CONNECTION in config.get("ServerApp", {}) or bool(gateway)
