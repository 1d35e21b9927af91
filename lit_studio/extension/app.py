"""The extension as Jupyter sees it: its options, its routes, and what it sets on the server.

It must not know how a question is answered.
"""

from __future__ import annotations

import time
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Bool, Float, Int, Unicode, default
from traitlets.config import Config

from lit_studio.compute import Meter
from lit_studio.extension.guides import guide_directory
from lit_studio.extension.handlers import url_patterns
from lit_studio.extension.homecoming import Homecoming
from lit_studio.extension.kernels import KeptKernelManager
from lit_studio.extension.overview import Overview
from lit_studio.extension.persistence import Persistence, SessionsFile, decide, settings
from lit_studio.extension.places import Places
from lit_studio.kernels.adoption import sweep
from lit_studio.tracking import ReaderCache


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
    persistent_kernels = Bool(
        False,
        help="Let kernels outlive the server: each has a keeper, and the next server in this folder takes them over. "
        "Has no effect with a gateway, or where ServerApp.kernel_manager_class is set. Off for now: a page doesn't yet "
        "show again what its kernel published while the page was away.",
    ).tag(config=True)
    save_outputs = Bool(
        True,
        help="Put outputs into the notebook when its kernel is idle or has ended and no page is open. Needs kernels "
        "that keep a journal.",
    ).tag(config=True)
    save_outputs_after = Float(
        2.0, min=0.0, help="Seconds without a page before outputs are put into the notebook."
    ).tag(config=True)

    _persistence = Persistence(False, "The server has not begun.")
    _sessions: SessionsFile | None = None

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

    @cached_property
    def homecoming(self) -> Homecoming:
        """What brings outputs into notebooks that no page has open."""
        return Homecoming(self._server, self.save_outputs_after)

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

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        if self.save_outputs:
            self.homecoming.start()

    async def stop_extension(self) -> None:
        """Let what is being written be written, and others have the sessions."""
        await self.homecoming.stop()
        if self._sessions is not None:
            self._sessions.leave()

    @property
    def kernels(self) -> KeptKernelManager | None:
        """The kernels; None where they end with the server."""
        found = self._server.kernel_manager
        return found if isinstance(found, KeptKernelManager) else None

    @property
    def persistence(self) -> Persistence:
        """Whether kernels outlive the server, and why not."""
        if self._persistence.on and self.kernels is None:
            found = type(self._server.kernel_manager).__qualname__
            return Persistence(False, f"Something has made {found} the server's kernel manager.")
        return self._persistence

    def initialize_settings(self) -> None:
        """Take over the kernels that an earlier server has left, before the first page asks for them."""
        if self.kernels is not None:
            self.kernels.adopt_all()
            sweep(time.time())

    def _link_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        super()._link_jupyter_server_extension(serverapp)
        # This runs before the server makes its web application and its kernels, and before it reads where its
        # gateway is.
        persistence, sessions = decide(serverapp, self.persistent_kernels), None
        if persistence.on:
            try:
                self._sessions = SessionsFile(serverapp.root_dir)
                sessions = self._sessions.take()
            except OSError as error:
                persistence = Persistence(False, f"The runtime folder can't be written: {error}.")
        self._persistence = persistence
        if not persistence.on and self.persistent_kernels:
            self.log.warning("Kernels end with this server. %s", persistence.reason)
        serverapp.update_config(Config(settings(serverapp, persistence, self.prompt_websockets, sessions)))
