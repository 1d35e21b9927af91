"""What a kernel's requests have come to, kept up to date from its journal, and which of it the notebook has yet to get.

It must not know notebooks' contents or servers; pages are known by the ids of their client sessions only.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from lit_studio.kernels import journal
from lit_studio.kernels.homecoming import with_note
from lit_studio.kernels.places import KernelPlace
from lit_studio.kernels.reducer import Reducer, RequestOutputs
from lit_studio.kernels.state import KernelState, read_state, write_json

SAVE_COVERS = 2.0  # seconds; what is younger when a page saves may not have reached the page yet
RECORD = "home.json"


class KernelOutcomes:
    """One kernel's outcomes. Each question reads only what the journal has got since the last one.

    Args:
        place: the kernel's folder.
    """

    def __init__(self, place: KernelPlace):
        self._place = place
        self._lock = threading.Lock()
        self._reader = journal.JournalReader(place.journal)
        self._reducer = Reducer()
        self._gaps: set[int] = set()  # records before which some are missing for good

    def requests(self) -> list[RequestOutputs]:
        """All requests as they are now; of a kernel that has died, with a line that says so where it stopped."""
        with self._lock:
            state = self._read()
            return [_told(request, state) for request in self._reducer.requests()]

    def snapshot(self) -> dict[str, Any]:
        """All that a page needs to go on where the journal stands, from one read of it.

        Returns:
            ``number`` (the journal's last record), ``requests`` (see :class:`RequestOutputs`), ``recent`` (ids of the
            messages of the last 30 s, which the page may have seen, or see, a second time), ``display_ids`` (each with
            its requests and the indices of their outputs), ``pending_clear`` (requests whose next output clears the
            others) and ``widgets`` (what Output widgets have taken, by comm).
        """
        with self._lock:
            state = self._read()
            reducer = self._reducer
            return {
                "number": reducer.number,
                "requests": [_told(request, state).json() for request in reducer.requests()],
                "recent": reducer.recent(),
                "display_ids": reducer.display_ids(),
                "pending_clear": reducer.pending_clear(),
                "widgets": reducer.widgets(),
            }

    def _read(self) -> KernelState | None:
        state = read_state(self._place.state)  # before the journal: what it wrote before it ended is there then
        while not self._follow():
            self._reader, self._reducer = journal.JournalReader(self._place.journal), Reducer()
        if state is not None and not state.is_alive and state.status != "starting":
            self._reducer.kernel_ended()
        return state

    def _follow(self) -> bool:
        """Take in what is new; False if records are missing that may be in what was folded since the last look."""
        for record in self._reader.read():
            missing = record.kind != journal.FOLDED and record.number > self._reducer.number + 1
            if missing and record.number not in self._gaps:
                self._gaps.add(record.number)
                return False
            self._reducer.feed(record)
        return True


@dataclass
class HomeRecord:
    """What is known of one kernel's way home, in its folder, so that the next server knows it too.

    Attributes:
        paths: the notebooks that use the kernel, as absolute paths; the first is the one it was started for.
        settled: requests whose outcome the notebook has, each with the number of the last record that changed it.
        saves: client sessions of pages, each with the time at which it last saved, seconds since the epoch.
        followed: when a page that shows what the journal holds, not only what came to it, last saved.
        seen: how the journal looked when all was settled.
        problem: why outputs stay in the journal, in words for a person; empty if they don't.
    """

    paths: list[str] = field(default_factory=list)
    settled: dict[str, int] = field(default_factory=dict)
    saves: dict[str, float] = field(default_factory=dict)
    followed: float = 0.0
    seen: str = ""
    problem: str = ""

    @classmethod
    def read(cls, place: KernelPlace) -> Self:
        """The record in the kernel's folder; an empty one if there is none or it can't be read."""
        try:
            return cls(**json.loads((place.folder / RECORD).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls()

    def write(self, place: KernelPlace) -> None:
        """Put the record into the kernel's folder.

        Raises:
            OSError: the disk is full, or the folder is gone.
        """
        write_json(place.folder / RECORD, asdict(self))

    def due(self, requests: Iterable[RequestOutputs]) -> list[RequestOutputs]:
        """Those that have come to an end and that neither we nor their page have put into the notebook."""
        return [
            request
            for request in requests
            if request.state in ("done", "died", "aborted")
            and request.changed > self.settled.get(request.msg_id, 0)
            and not self._saved_by_page(request)
        ]

    def settle(self, requests: Iterable[RequestOutputs], seen: str) -> None:
        """All of ``requests`` are in the notebook, or need not be.

        Args:
            requests: all that the kernel has now; others are forgotten.
            seen: how the journal looked before they were read.
        """
        self.settled = {request.msg_id: request.changed for request in requests}
        self.seen, self.problem = seen, ""

    def note_save(self, sessions: Iterable[str], followed: bool, when: float) -> None:
        """A page has saved the notebook; which of those that are open did is not known.

        Args:
            sessions: the open pages' client sessions.
            followed: whether one of them shows what the journal holds.
            when: seconds since the epoch.
        """
        self.saves.update(dict.fromkeys(sessions, when))
        if followed:
            self.followed = when

    def _saved_by_page(self, request: RequestOutputs) -> bool:
        saved = max(self.saves.get(request.session, 0.0), self.followed)
        return request.changed_at < saved - SAVE_COVERS


def journal_look(folder: Path) -> str:
    """How the journal in ``folder`` looks: the same as before if nothing was written; empty if there is none."""
    found = journal.segments(folder)
    try:
        return f"{found[-1].name} {found[-1].stat().st_size}" if found else ""
    except FileNotFoundError:  # folded away meanwhile
        return ""


def _told(request: RequestOutputs, state: KernelState | None) -> RequestOutputs:
    if request.state != "died":
        return request
    code = None if state is None else state.exit_code
    how = "" if code is None else f" with exit code {code}"
    if code is not None and code < 0:
        try:
            how = f", killed by {signal.Signals(-code).name}"
        except ValueError:
            how = f", killed by signal {-code}"
    return with_note(request, f"The kernel ended while this cell ran{how}.")
