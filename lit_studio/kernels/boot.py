"""Starts an ipykernel that writes each message into a journal before sending it; run by its path, in any environment.

It must not import anything but the standard library and ipykernel: the kernel's environment has no Lit Studio in it.

Use: ``python boot.py FOLDER -f connection.json``, as ``python -m ipykernel_launcher -f connection.json`` otherwise.

ipykernel has no public hook for what is done here, so each one is put in by itself and missed by itself: a version that
has changed loses that part of the service, says so in ``hooks.json``, and runs all the same.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

DELIMITER = b"<IDS|MSG>"
EXECUTION_BYTES = 512  # one block of the disk, so that one write replaces it
CANCEL = "lit_studio_cancel_request"
REMEMBERED = 10_000  # requests that have begun


def load_journal() -> ModuleType:
    """The journal's module, from the file beside this one."""
    path = Path(__file__).with_name("journal.py")
    spec = importlib.util.spec_from_file_location("_lit_studio_journal", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} can't be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Execution:
    """What the main shell does, in a file that a new server reads instead of the journal.

    Busy and idle are those of execute requests only: a widget's messages on a subshell say nothing about the cell.

    Args:
        path: the file.
    """

    def __init__(self, path: Path):
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._process = os.getpid()
        self._now: dict[str, Any] = {"state": "starting", "msg_id": "", "cell_id": "", "count": 0, "since": 0.0}
        self._write()

    def begin(self, msg_id: str, cell_id: str, count: int, when: float) -> None:
        """A cell's code starts to run.

        Args:
            msg_id: the request's.
            cell_id: the cell's, empty if the client didn't say.
            count: its execution count.
            when: seconds since the epoch.
        """
        self._now = {"state": "busy", "msg_id": msg_id, "cell_id": cell_id, "count": count, "since": when}
        self._write()

    def end(self, when: float, number: int) -> None:
        """It is through.

        Args:
            when: seconds since the epoch.
            number: the journal's last record that belongs to it.
        """
        self._now = {**self._now, "state": "idle", "since": when, "number": number}
        self._write()

    def _write(self) -> None:
        if os.getpid() != self._process:  # a forked child is not the kernel
            return
        block = json.dumps(self._now).encode()
        if len(block) > EXECUTION_BYTES:  # the names come from a client, which may call its cells what it likes
            block = json.dumps({**self._now, "cell_id": "", "msg_id": str(self._now["msg_id"])[:40]}).encode()
        try:
            os.pwrite(self._file, block.ljust(EXECUTION_BYTES), 0)
        except OSError:  # a full disk costs the status, not the cell
            pass


class Hooks:
    """What is put into ipykernel.

    Args:
        writer: the journal's.
        journal: the journal's module.
        execution: told when a cell begins and ends.
    """

    def __init__(self, writer: Any, journal: ModuleType, execution: Execution):
        self._writer, self._journal, self._execution = writer, journal, execution
        self._cancelled: set[str] = set()
        self._begun: dict[str, None] = {}  # in order, the newest last
        self._lock = threading.Lock()

    def install(self) -> dict[str, Any]:
        """Put in every hook; which of them this ipykernel took, and its version."""
        from ipykernel import __version__

        wanted = {
            "messages": self._journal_messages,
            "requests": self._journal_requests,
            "aborts": self._journal_aborts,
            "replies": self._answer_widgets_at_once,
            "cancel": self._skip_cancelled,
        }
        return {"ipykernel": __version__, **{name: _taken(hook) for name, hook in wanted.items()}}

    def _journal_messages(self) -> None:
        from ipykernel import iostream

        thread_class: Any = iostream.IOPubThread
        send, note = thread_class._really_send, self._note_message

        def write_ahead(thread: Any, msg: Any, *args: Any, **kwargs: Any) -> Any:
            note(msg)
            return send(thread, msg, *args, **kwargs)

        thread_class._really_send = write_ahead

    def _note_message(self, msg: Any) -> None:
        frames = [frame if isinstance(frame, bytes) else memoryview(frame).cast("B") for frame in msg]
        try:
            parts = frames[frames.index(DELIMITER) + 2 :]
        except ValueError:  # not a message of the protocol
            return
        number = self._writer.append(self._journal.MESSAGE, parts)
        header = bytes(parts[0])
        if b'"status"' in header and b'"execute_request"' in bytes(parts[1]) and b'"idle"' in bytes(parts[3]):
            asked, stamp = json.loads(bytes(parts[1])), json.loads(header)
            if not asked.get("subshell_id") and stamp.get("msg_type") == "status":
                self._execution.end(time.time(), number)

    def _journal_requests(self) -> None:
        from ipykernel import kernelbase

        kernel_class: Any = kernelbase.Kernel
        publish, writer, execution = kernel_class._publish_execute_input, self._writer, self._execution
        kind = self._journal.REQUEST

        def note(kernel: Any, code: str, parent: Any, execution_count: int) -> Any:
            header, metadata = parent.get("header") or {}, parent.get("metadata") or {}
            writer.append(kind, [json.dumps(part, default=str).encode() for part in (header, metadata)])
            if not header.get("subshell_id"):
                cell = str(metadata.get("cellId") or "")
                execution.begin(str(header.get("msg_id", "")), cell, execution_count, time.time())
            return publish(kernel, code, parent, execution_count)

        kernel_class._publish_execute_input = note

    def _journal_aborts(self) -> None:
        """What the kernel passes over, because a cell before it failed or it was cancelled, has a cell, too."""
        from ipykernel import kernelbase

        kernel_class: Any = kernelbase.Kernel
        abort, writer, kind = kernel_class._send_abort_reply, self._writer, self._journal.REQUEST

        def note(kernel: Any, stream: Any, msg: Any, idents: Any) -> Any:
            header, metadata = msg.get("header") or {}, msg.get("metadata") or {}
            if header.get("msg_type") == "execute_request":
                writer.append(kind, [json.dumps(part, default=str).encode() for part in (header, metadata)])
            return abort(kernel, stream, msg, idents)

        kernel_class._send_abort_reply = note

    @staticmethod
    def _answer_widgets_at_once() -> None:
        """Ipykernel 7.4 sends a page's answer to the shell that created a widget, where a running cell holds it up."""
        from ipykernel.comm import comm

        base: Any = comm.BaseComm
        if hasattr(base, "_reply_subshell_for"):
            base._reply_subshell_for = lambda widget, data, default: default

    def _skip_cancelled(self) -> None:
        from ipykernel import kernelbase

        kernel_class: Any = kernelbase.Kernel
        begin, handles, skips = kernel_class.__init__, kernel_class.should_handle, self._skips
        if not callable(kernel_class._send_abort_reply):
            raise AttributeError("_send_abort_reply")

        def with_cancel(kernel: Any, **kwargs: Any) -> None:
            begin(kernel, **kwargs)
            kernel.control_handlers[CANCEL] = lambda stream, ident, parent: self._cancel(kernel, stream, ident, parent)

        def should_handle(kernel: Any, stream: Any, msg: Any, idents: Any) -> Any:
            if msg["header"].get("msg_type") == "execute_request" and skips(msg["header"].get("msg_id")):
                kernel._send_abort_reply(stream, msg, idents)
                return False
            return handles(kernel, stream, msg, idents)

        kernel_class.__init__, kernel_class.should_handle = with_cancel, should_handle

    def _cancel(self, kernel: Any, stream: Any, ident: Any, parent: Any) -> None:
        """The control channel's wish that requests which still wait are not run."""
        wanted = [str(one) for one in parent["content"].get("msg_ids", [])]
        with self._lock:
            begun = [one for one in wanted if one in self._begun]
            self._cancelled.update(one for one in wanted if one not in begun)
        reply = {"status": "ok", "begun": begun}
        kernel.session.send(stream, CANCEL.replace("request", "reply"), reply, parent=parent, ident=ident)

    def _skips(self, msg_id: Any) -> bool:
        """Whether a request that is about to run was cancelled; else it has begun, and can't be any more."""
        with self._lock:
            if msg_id in self._cancelled:
                self._cancelled.discard(msg_id)
                return True
            self._begun[msg_id] = None
            if len(self._begun) > REMEMBERED:
                del self._begun[next(iter(self._begun))]
            return False


def _taken(hook: Callable[[], None]) -> bool:
    try:
        hook()
    except (ImportError, AttributeError):  # this version has it under another name, or not at all
        return False
    return True


def main() -> None:
    """Take the folder from the command line, put in the hooks, and be an ipykernel."""
    here, folder = str(Path(__file__).parent), Path(sys.argv.pop(1))
    if sys.path and sys.path[0] == here:  # Python put it there; ipykernel puts the notebook's folder there
        del sys.path[0]

    from ipykernel import kernelapp

    try:
        journal = load_journal()
        hooks = Hooks(journal.JournalWriter(folder / "journal"), journal, Execution(folder / "execution"))
        taken = hooks.install()
        (folder / "hooks.json").write_text(json.dumps(taken), encoding="utf-8")
    except OSError as error:  # without a journal the kernel is what it would be without us
        print(f"Lit Studio keeps no journal of this kernel: {error}", file=sys.stderr)  # noqa: T201 - its log

    kernelapp.launch_new_instance()


if __name__ == "__main__":
    main()
