"""What all handlers share: who may ask what, and errors in words.

It must not know any subject.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from http.client import responses
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError, authenticated

from lit_studio.base.errors import (
    InvalidStateError,
    InvalidTypeError,
    InvalidValueError,
    KernelNotFoundError,
    RunNotFoundError,
    RunRecordError,
    StudioError,
)

if TYPE_CHECKING:
    from lit_studio.extension.app import LitStudioApp

RESOURCE = "lit-studio"
STATUS = {
    InvalidValueError: 400,
    InvalidTypeError: 400,
    RunNotFoundError: 404,
    KernelNotFoundError: 404,
    InvalidStateError: 409,
    RunRecordError: 422,
}

Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])


def allowed(action: Literal["read", "write", "execute"]) -> Callable[[Method], Method]:
    """Let a method answer only those who are logged in and whom the server's authorizer allows ``action``."""

    def decorate(method: Method) -> Method:
        checked = cast(Any, authorized)(action)(method)  # Jupyter's annotation loses the method's type
        return cast(Method, authenticated(checked))

    return decorate


class LitStudioHandler(APIHandler):
    """A handler of ours: errors of the house become JSON with a message and advice, under a fitting status."""

    auth_resource = RESOURCE

    @property
    def studio(self) -> LitStudioApp:
        """The extension, which holds what handlers hand on to."""
        return self.settings["lit_studio"]

    def get_json_object(self) -> dict[str, Any]:
        """The request's body, which has to be a JSON object.

        Raises:
            InvalidTypeError: it is none.
        """
        try:
            body = json.loads(self.request.body)
        except ValueError as error:
            raise InvalidTypeError(
                f"The body is not JSON ({error})", valid='an object, e.g. {"name": "pause"}'
            ) from None
        if not isinstance(body, dict):
            raise InvalidTypeError("The body has to be a JSON object", value=body, valid='e.g. {"name": "pause"}')
        return body

    def get_number(self, name: str) -> float | None:
        """The query's argument ``name`` as a number, None if it is missing.

        Raises:
            InvalidValueError: it is no number.
        """
        text = self.get_query_argument(name, "")
        if not text:
            return None
        try:
            return float(text)
        except ValueError:
            raise InvalidValueError(f"{name} has to be a number", value=text) from None

    def get_count(self, name: str, default: int) -> int:
        """The query's argument ``name`` as a whole number.

        Raises:
            InvalidValueError: it is none.
        """
        text = self.get_query_argument(name, "")
        if not text:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) <= 15):
            raise InvalidValueError(f"{name} has to be a whole number", value=text, valid="0 or more")
        return int(text)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what is a fault of the server's; a question that can't be answered is none."""
        if not isinstance(value, StudioError):
            super().log_exception(typ, value, tb)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write ``{"message", "reason"}`` and, where known, ``"advice"``."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, HTTPError) or error is None:
            super().write_error(status_code, **kwargs)
            return
        reply = {"message": "The server failed; its log says more."}
        if isinstance(error, StudioError):
            status_code = next((code for kind, code in STATUS.items() if isinstance(error, kind)), status_code)
            message, _, advice = str(error).partition("\n")
            reply = {"message": message, **({"advice": advice} if advice else {})}
        elif isinstance(error, OSError) and error.strerror:
            reply = {"message": f"The disk refused: {error.strerror}.", "advice": "The server's log names the file."}
        self.set_status(status_code)
        self.finish(json.dumps({**reply, "reason": responses[status_code]}))
