"""One run: what is known of it, its packets, and what a person asks of it.

It must not know how a run is recorded or read.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from lit_studio.base.errors import InvalidStateError, InvalidTypeError
from lit_studio.base.runs import Command, RunDirectory, send_command
from lit_studio.extension.handlers.web import LitStudioHandler, allowed


class RunRoute(LitStudioHandler):
    """A route about one run."""

    def find(self, run_id: str) -> RunDirectory:
        """The run, looked for in the query's ``directory`` first; to be called off the event loop."""
        return self.studio.places.find_run(run_id, self.get_query_argument("directory", ""))


class RunHandler(RunRoute):
    """What is known of a run."""

    _track_activity = False  # a page that looks is no sign of work: an idle server may be stopped meanwhile

    @allowed("read")
    async def get(self, run_id: str) -> None:
        """Answer with the run's record and status."""
        self.finish(json.dumps(await asyncio.to_thread(self._describe, run_id)))

    def _describe(self, run_id: str) -> dict[str, Any]:
        run = self.find(run_id)
        return {**self.studio.overview.describe_run(run), "packages": run.info.packages}


class PacketHandler(RunRoute):
    """A run's series and events, reduced to what a screen can show."""

    _track_activity = False

    @allowed("read")
    async def get(self, run_id: str) -> None:
        """Answer with a packet (see :mod:`lit_studio.tracking.packet`)."""
        packet = await asyncio.to_thread(self._read, run_id)
        self.set_header("Cache-Control", "no-store")
        self.finish(packet, set_content_type="application/octet-stream")

    def _read(self, run_id: str) -> bytes:
        return self.studio.readers.get(self.find(run_id)).packet(
            width=self.get_count("width", 1024),
            axis=self.get_query_argument("axis", "step"),
            have=self.get_query_argument("have", ""),
            events=self.get_count("events", 0),
            x0=self.get_number("x0"),
            x1=self.get_number("x1"),
        )


class CommandsHandler(RunRoute):
    """What a person asks of an active run."""

    @allowed("execute")
    async def post(self, run_id: str) -> None:
        """Put a command into the run's inbox and answer 202: it is done at the next step, which an event says."""
        body = self.get_json_object()
        arguments = body.get("arguments", {})
        if not isinstance(arguments, dict):
            raise InvalidTypeError("arguments has to be an object", value=arguments, valid='e.g. {"value": 0.001}')
        if not isinstance(body.get("name"), str):
            raise InvalidTypeError("name has to be a text", value=body.get("name"), valid='e.g. "pause"')
        command = Command(body["name"], arguments, who=self._who())
        self.set_status(202)
        self.finish(json.dumps({"id": await asyncio.to_thread(self._send, run_id, command)}))

    def _send(self, run_id: str, command: Command) -> str:
        run = self.find(run_id)
        state = run.status().state
        if state not in ("running", "paused"):
            raise InvalidStateError(
                f"The run {run.info.name} is {state}: nobody would read the command",
                advice="Only a run that is running or paused can be asked for something.",
            )
        return send_command(run.inbox, command)

    def _who(self) -> str:
        # The server's own ways of logging in know no people and make names up.
        if type(self.identity_provider).__module__.startswith("jupyter_server."):
            return "you"
        return self.current_user.display_name or self.current_user.name or self.current_user.username
