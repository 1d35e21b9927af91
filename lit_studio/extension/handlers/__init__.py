"""The REST routes, one module a subject.

It must not know how an answer is found: handlers check who asks and what for, and hand on.
"""

from __future__ import annotations

import re

from lit_studio.extension.handlers.guide import GuideHandler
from lit_studio.extension.handlers.kernels import AwakeHandler, KernelsHandler, QueueHandler, ShutdownHandler
from lit_studio.extension.handlers.media import MediaHandler, MediaItemHandler
from lit_studio.extension.handlers.outputs import OutputsHandler
from lit_studio.extension.handlers.runs import CommandsHandler, PacketHandler, RunHandler
from lit_studio.extension.handlers.studio import InfoHandler, StudioHandler
from lit_studio.extension.handlers.web import LitStudioHandler

API = "lit-studio/api"

ROUTES: dict[str, type[LitStudioHandler]] = {
    "info": InfoHandler,
    "studio": StudioHandler,
    "runs/{run_id}": RunHandler,
    "runs/{run_id}/packet": PacketHandler,
    "runs/{run_id}/commands": CommandsHandler,
    "runs/{run_id}/media": MediaHandler,
    "runs/{run_id}/media/{item}": MediaItemHandler,
    "guide/{name}": GuideHandler,
    "kernels": KernelsHandler,
    "kernels/{kernel_id}/awake": AwakeHandler,
    "kernels/{kernel_id}/shutdown": ShutdownHandler,
    "kernels/{kernel_id}/queue/{msg_id}": QueueHandler,
    "kernels/{kernel_id}/outputs": OutputsHandler,
}


def url_patterns() -> list[tuple[str, type[LitStudioHandler]]]:
    """Each route as a regular expression below the server's base URL, with its handler."""
    found = []
    for path, handler in ROUTES.items():
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path)
        found.append((f"{API}/{pattern}", handler))
    return found
