"""One output area as JupyterLab's: outputs are added, cleared, merged and updated; too many are folded away.

It must not know which request or widget it belongs to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lit_studio.kernels.streams import STREAM_LIMIT, StreamText


@dataclass(frozen=True)
class Limits:
    """How much of what one request put out is kept, at its beginning and as much again at its end.

    Attributes:
        stream: characters of one stream.
        outputs: displays and streams.
        size: characters of all displays together.
    """

    stream: int = STREAM_LIMIT
    outputs: int = 1000
    size: int = 32 << 20


class Output:
    """One output of an area: a stream that grows, or a display that may be updated.

    Attributes:
        name: the stream's name, empty for another output.
        stream: the stream's text; None for another output.
        value: what is not a stream, as an ``nbformat`` output.
        size: about how many characters it holds.
    """

    __slots__ = ("name", "size", "stream", "value")

    def __init__(self, value: dict[str, Any], size: int, name: str = "", stream: StreamText | None = None):
        self.value, self.size, self.name, self.stream = value, size, name, stream

    def json(self) -> dict[str, Any]:
        """As ``nbformat`` has it, text in one piece; a copy."""
        if self.stream is None:
            return dict(self.value)
        return {"output_type": "stream", "name": self.name, "text": self.stream.text()}

    def fold(self) -> dict[str, Any]:
        """What :meth:`unfold` needs, as JSON."""
        stream = None if self.stream is None else self.stream.fold()
        return {"value": self.value, "size": self.size, "name": self.name, "stream": stream}

    @classmethod
    def unfold(cls, folded: dict[str, Any]) -> Output:
        """The output that :meth:`fold` described."""
        stream = None if folded["stream"] is None else StreamText.unfold(folded["stream"])
        return cls(folded["value"], folded["size"], folded["name"], stream)


class Area:
    """The outputs of one request, or of one Output widget.

    Args:
        limits: how much is kept.

    Attributes:
        clear_pending: whether the next output is to clear the others first, as ``clear_output(wait=True)`` asks.
    """

    def __init__(self, limits: Limits):
        self._limits = limits
        self._last_stream = ""
        self._displays: dict[str, list[Output]] = {}
        self._empty()
        self.clear_pending = False

    def _empty(self) -> None:
        self._head: list[Output] = []
        self._head_size = 0
        self._tail: deque[Output] = deque()
        self._tail_size = 0
        self._left_out = 0
        self._displays.clear()

    def add_stream(self, name: str, text: str) -> None:
        """Append ``text`` to the last output if that is the stream ``name``, else begin a new one."""
        self._clear_if_pending()
        last = self._tail[-1] if self._tail else self._head[-1] if self._head else None
        if last is None or last.stream is None or self._last_stream != name:
            last = Output({}, 0, name, StreamText(self._limits.stream))
            self._append(last)
        assert last.stream is not None
        last.stream.add(text)
        self._last_stream = name

    def add(self, value: dict[str, Any], size: int, display_id: str | None = None) -> None:
        """Append an output that is no stream.

        Args:
            value: as ``nbformat`` has it.
            size: about how many characters it holds.
            display_id: by which it can be updated.
        """
        self._clear_if_pending()
        output = Output(value, size)
        self._append(output)
        self._last_stream = ""
        if display_id:
            self._displays.setdefault(display_id, []).append(output)

    def update(self, display_id: str, value: dict[str, Any], size: int) -> None:
        """Replace the outputs that were displayed under ``display_id``."""
        for output in self._displays.get(display_id, ()):
            output.value, output.size = value, size

    def clear(self, wait: bool = False) -> None:
        """Remove all outputs, at once or before the next."""
        self._last_stream = ""
        if wait:
            self.clear_pending = True
        else:
            self._empty()

    def forget_displays(self) -> None:
        """No display can be updated any more: their kernel has ended."""
        self._displays.clear()

    def outputs(self) -> list[dict[str, Any]]:
        """All outputs in order as ``nbformat`` has them, with one that says what was left out; copies."""
        found = [output.json() for output in self._head]
        if self._left_out:
            found.append({"output_type": "stream", "name": "stdout", "text": self._left_out_line()})
        return found + [output.json() for output in self._tail]

    def displays(self) -> Iterator[tuple[str, int]]:
        """Each display id with the index of its output among :meth:`outputs`."""
        places = {id(output): index for index, output in enumerate(self._head)}
        first = len(self._head) + bool(self._left_out)
        places.update((id(output), first + index) for index, output in enumerate(self._tail))
        for display_id, outputs in self._displays.items():
            for output in outputs:
                yield display_id, places[id(output)]

    def fold(self) -> dict[str, Any]:
        """What :meth:`unfold` needs, as JSON."""
        kept = [*self._head, *self._tail]
        places = {id(output): index for index, output in enumerate(kept)}
        return {
            "outputs": [output.fold() for output in kept],
            "head": len(self._head),
            "left_out": self._left_out,
            "last_stream": self._last_stream,
            "clear_pending": self.clear_pending,
            "displays": {key: [places[id(one)] for one in found] for key, found in self._displays.items()},
        }

    @classmethod
    def unfold(cls, folded: dict[str, Any], limits: Limits) -> Area:
        """The area that :meth:`fold` described."""
        area = cls(limits)
        kept = [Output.unfold(one) for one in folded["outputs"]]
        area._head, area._tail = kept[: folded["head"]], deque(kept[folded["head"] :])
        area._head_size = sum(one.size for one in area._head)
        area._tail_size = sum(one.size for one in area._tail)
        area._left_out, area._last_stream = folded["left_out"], folded["last_stream"]
        area.clear_pending = folded["clear_pending"]
        area._displays = {key: [kept[index] for index in places] for key, places in folded["displays"].items()}
        return area

    def _clear_if_pending(self) -> None:
        if self.clear_pending:
            self.clear()
            self.clear_pending = False

    def _append(self, output: Output) -> None:
        limits = self._limits
        if not self._tail and len(self._head) < limits.outputs and self._head_size <= limits.size:
            self._head.append(output)
            self._head_size += output.size
            return
        self._tail.append(output)
        self._tail_size += output.size
        while len(self._tail) > limits.outputs or (self._tail_size > limits.size and len(self._tail) > 1):
            gone = self._tail.popleft()
            self._tail_size -= gone.size
            self._left_out += 1
            for display_id in [key for key, found in self._displays.items() if gone in found]:
                self._displays[display_id].remove(gone)
                if not self._displays[display_id]:
                    del self._displays[display_id]

    def _left_out_line(self) -> str:
        return f"[… {self._left_out:,} outputs left out here …]\n"
