"""The text of one stream output as JupyterLab shows it: carriage returns and backspaces done, the middle folded away.

It must not know messages, requests or notebooks: text goes in, text comes out.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections import deque
from typing import Any

STREAM_LIMIT = 200_000  # characters that are kept of a long text's beginning, and as many of its end

_CONTROL = re.compile("[\b\r]")
_UTF_16 = "utf-16-le" if sys.byteorder == "little" else "utf-16-be"


class StreamText:
    r"""One stream output's text.

    JupyterLab writes at a cursor: a carriage return takes it to the line's beginning, what follows overwrites, a
    backspace removes what is before the cursor and what is under it, a line feed goes to the end of the text. So only
    the last line can still change; those before it are finished. JavaScript counts in UTF-16 units, and so does this:
    an emoji is two places wide.

    Args:
        limit: how many characters are kept at the beginning and at the end.
    """

    def __init__(self, limit: int = STREAM_LIMIT):
        self._limit = limit
        self._head: list[str] = []
        self._head_size = 0
        self._tail: deque[str] = deque()
        self._tail_size = 0
        self._left_lines = self._left_size = 0
        self._line: list[str] = []  # the last line in UTF-16 units, as pieces
        self._line_size = self._cursor = 0

    @property
    def size(self) -> int:
        """How many characters are kept."""
        return self._head_size + self._tail_size + self._line_size

    def add(self, text: str) -> None:
        """Print ``text``."""
        if "\r" not in text and "\b" not in text:
            self._add_plain(text)
            return
        lines = text.split("\n")
        for index, line in enumerate(lines):
            if index:
                self._end_line()
            at = 0
            for match in _CONTROL.finditer(line):
                self._write(line[at : match.start()])
                at = match.end()
                if match[0] == "\r":
                    self._cursor = 0
                elif self._cursor:
                    self._backspace()
            self._write(line[at:])

    def text(self) -> str:
        """All of it, with a line that says what was left out."""
        gone = []
        if self._left_size:
            lines = f"{self._left_lines:,} lines, " if self._left_lines else ""
            start = "" if (self._head or [""])[-1].endswith("\n") else "\n"
            gone = [f"{start}\n[… {lines}{self._left_size:,} characters left out here …]\n\n"]
        return "".join([*self._head, *gone, *self._tail, _from_units("".join(self._line))])

    def fold(self) -> dict[str, Any]:
        """What :meth:`unfold` needs, as JSON."""
        return {
            "limit": self._limit,
            "head": "".join(self._head),
            "tail": list(self._tail),
            "left": [self._left_lines, self._left_size],
            "line": "".join(self._line),
            "cursor": self._cursor,
        }

    @classmethod
    def unfold(cls, folded: dict[str, Any]) -> StreamText:
        """The stream that :meth:`fold` described."""
        stream = cls(folded["limit"])
        stream._head, stream._head_size = [folded["head"]], len(folded["head"])
        stream._tail, stream._tail_size = deque(folded["tail"]), sum(map(len, folded["tail"]))
        stream._left_lines, stream._left_size = folded["left"]
        stream._line, stream._line_size = [folded["line"]], len(folded["line"])
        stream._cursor = folded["cursor"]
        return stream

    # The last line ----------------------------------------------------------------------------------------------

    def _add_plain(self, text: str) -> None:
        first = text.find("\n")
        if first < 0:
            self._write(text)
            return
        last = text.rfind("\n")
        self._write(text[:first])
        self._end_line()
        if last > first:
            self._keep(text[first + 1 : last + 1])
        self._write(text[last + 1 :])

    def _write(self, text: str) -> None:
        if not text:
            return
        units = _to_units(text)
        if self._cursor == self._line_size:
            self._line.append(units)
        else:
            line = "".join(self._line)
            self._line = [line[: self._cursor] + units + line[self._cursor + len(units) :]]
        self._cursor += len(units)
        self._line_size = max(self._line_size, self._cursor)
        if self._line_size > 4 * self._limit and self._cursor == self._line_size:
            self._break_line()

    def _backspace(self) -> None:
        line = "".join(self._line)
        line = line[: self._cursor - 1] + line[self._cursor + 1 :]
        self._line, self._line_size = [line], len(line)
        self._cursor -= 1

    def _end_line(self) -> None:
        self._line.append("\n")
        self._keep(_from_units("".join(self._line)))
        self._line, self._line_size, self._cursor = [], 0, 0

    def _break_line(self) -> None:
        """A line without an end mustn't fill the memory: what is far behind its end can't be overwritten any more."""
        line = "".join(self._line)
        cut = len(line) - self._limit
        if "\udc00" <= line[cut] <= "\udfff":  # not between the halves of a character
            cut += 1
        self._keep(_from_units(line[:cut]))
        self._line, self._line_size = [line[cut:]], len(line) - cut
        self._cursor = self._line_size

    # Finished lines ---------------------------------------------------------------------------------------------

    def _keep(self, text: str) -> None:
        if not self._tail and self._head_size < self._limit:
            room = self._limit - self._head_size
            if len(text) > room:  # up to the end of a line
                room = text.find("\n", room) + 1 or room
            self._head.append(text[:room])
            self._head_size += len(self._head[-1])
            text = text[room:]
        if not text:
            return
        self._tail.append(text)
        self._tail_size += len(text)
        while (excess := self._tail_size - self._limit) > 0:
            oldest = self._tail[0]
            if len(oldest) <= excess:
                self._leave_out(self._tail.popleft())
                continue
            if excess > self._limit // 4:  # seldom, so that cutting costs little
                cut = oldest.find("\n", excess) + 1 or excess
                self._tail[0] = oldest[cut:]
                self._leave_out(oldest[:cut])
                if not self._tail[0]:
                    self._tail.popleft()
            break

    def _leave_out(self, text: str) -> None:
        self._left_lines += text.count("\n")
        self._left_size += len(text)
        self._tail_size -= len(text)


def _to_units(text: str) -> str:
    """``text`` with each character beyond the first 65,536 as its two UTF-16 halves."""
    if text.isascii() or max(text) <= "\uffff":
        return text
    return "".join(map(chr, array("H", text.encode(_UTF_16, "surrogatepass"))))


def _from_units(text: str) -> str:
    """The halves together again; one that lost its other half to an overwriting becomes U+FFFD."""
    if text.isascii() or not any("\ud800" <= unit <= "\udfff" for unit in text):
        return text
    return text.encode(_UTF_16, "surrogatepass").decode(_UTF_16, "replace")
