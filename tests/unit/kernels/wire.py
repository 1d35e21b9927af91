"""Makes the records that a kernel's journal would hold, for tests that have no kernel."""

from __future__ import annotations

import itertools
import json

from lit_studio.kernels.journal import MESSAGE, REQUEST, Record


class Wire:
    """A kernel as its journal sees it; every method returns the records that it added."""

    def __init__(self, when: float = 1000.0):
        self.records: list[Record] = []
        self.when = when
        self.counts = itertools.count(1)

    def _append(self, kind, parts):
        raw = [json.dumps(part, ensure_ascii=False).encode("utf-8", "surrogateescape") for part in parts]
        self.records.append(Record(len(self.records) + 1, self.when, kind, raw))
        self.when += 0.001
        return self.records[-1:]

    def header(self, kind, msg_id=None, session="page"):
        date = f"2026-11-24T00:00:00.{len(self.records):06d}Z"
        return {"msg_id": msg_id or f"m{len(self.records)}", "msg_type": kind, "session": session, "date": date}

    def publish(self, kind, parent, parent_kind="execute_request", session="page", **content):
        asked = self.header(parent_kind, parent, session) if parent else {}
        return self._append(MESSAGE, [self.header(kind, session="kernel"), asked, {}, content])

    def begin(self, parent, code="", cell="", session="page", **metadata):
        """The kernel begins to run ``code``."""
        first = len(self.records)
        self.publish("status", parent, session=session, execution_state="busy")
        if cell is not None:
            header = self.header("execute_request", parent, session)
            self._append(REQUEST, [header, {**({"cellId": cell} if cell else {}), **metadata}])
        count = next(self.counts)
        self.publish("execute_input", parent, session=session, code=code, execution_count=count)
        return self.records[first:]

    def end(self, parent, session="page"):
        """It has run it."""
        return self.publish("status", parent, session=session, execution_state="idle")

    def abort(self, parent, cell):
        """The kernel passes over a request because an earlier one failed or it was cancelled."""
        first = len(self.records)
        self.publish("status", parent, execution_state="busy")
        self._append(REQUEST, [self.header("execute_request", parent), {"cellId": cell}])
        self.end(parent)
        return self.records[first:]

    def run(self, parent, code="", cell="", *prints, **options):
        """A cell that prints, from beginning to end."""
        first = len(self.records)
        self.begin(parent, code, cell, **options)
        for text in prints:
            self.print(parent, text)
        self.end(parent, options.get("session", "page"))
        return self.records[first:]

    def print(self, parent, text, name="stdout"):
        return self.publish("stream", parent, name=name, text=text)

    def display(self, parent, text, display_id=None, kind="display_data"):
        transient = {"transient": {"display_id": display_id}} if display_id else {"transient": {}}
        return self.publish(kind, parent, data={"text/plain": text}, metadata={}, **transient)

    def clear(self, parent, wait=False):
        return self.publish("clear_output", parent, wait=wait)

    def widget(self, parent, comm, **state):
        """The kernel creates an Output widget, or sets something of it."""
        if not state:
            data = {"state": {"_model_name": "OutputModel", "msg_id": ""}}
            return self.publish("comm_open", parent, comm_id=comm, target_name="jupyter.widget", data=data)
        return self.publish("comm_msg", parent, comm_id=comm, data={"method": "update", "state": state})
