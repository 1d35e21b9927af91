"""The live dashboard as an anywidget: for notebooks whose server or front end doesn't know our run type.

It must not know the loop: it answers the page from the run's directory and puts commands into the run's inbox.
Import it only inside a kernel and only when something is displayed: it brings ipywidgets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from lit_studio.base.errors import MissingBuildError
from lit_studio.base.runs import RunDirectory
from lit_studio.widgets.bundle import View, run_reference
from lit_studio.widgets.protocol import Conversation

STATIC = Path(__file__).parent / "static"


def static_file(name: str) -> Path:
    """One of the built scripts.

    Raises:
        MissingBuildError: this is a checkout in which the browser side has not been built.
    """
    path = STATIC / name
    if not path.is_file():
        raise MissingBuildError(
            f"The browser side of Lit Studio has not been built: {path.name} is missing",
            advice="Build it in the repository with: make setup",
        )
    return path


class DashboardWidget(anywidget.AnyWidget):
    """The dashboard of one run.

    Args:
        run: the run to show.
        view: ``"training"`` or ``"evaluation"``.

    Raises:
        MissingBuildError: the browser side has not been built.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    run = traitlets.Unicode().tag(sync=True)
    directory = traitlets.Unicode().tag(sync=True)
    name = traitlets.Unicode().tag(sync=True)
    view = traitlets.Unicode().tag(sync=True)

    def __init__(self, run: RunDirectory, view: View = "training"):
        script = static_file("widget.js").read_text(encoding="utf-8")
        self._conversation = Conversation(run, static_file("view.js"))
        super().__init__(_esm=script, **run_reference(run, view))
        _answer_on_the_asking_shell(self.comm)
        self.on_msg(self._receive)  # type: ignore[no-untyped-call]

    def _receive(self, _widget: Any, message: Any, _buffers: Any) -> None:
        answer = self._conversation.answer(message)
        if answer is not None:
            self.send(*answer)  # type: ignore[no-untyped-call]


def _answer_on_the_asking_shell(comm: Any) -> None:
    # ipykernel 7.4 sends a page's messages to the shell on which the widget was made: the main one, which is busy
    # with the very cell that trains, so a click on Pause would wait for the fit to end. Its default is right.
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = _default_shell


def _default_shell(_data: Any, default: Any) -> Any:
    return default
