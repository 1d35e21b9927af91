"""The face with which a program shows pictures, histograms, matrices, tables, texts and figures of its run.

It must not know loggers or screens: it puts files into the run's directory, where every screen finds them.
"""

from __future__ import annotations

import io
import json
import time
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lit_studio.base.errors import InvalidTypeError, InvalidValueError, StudioError
from lit_studio.base.runs import RunDirectory, current_run
from lit_studio.base.runs.directory import Current
from lit_studio.base.runs.media import ITEM_BYTES, MediaItem, MediaWriter
from lit_studio.base.settings import resolve_number
from lit_studio.media import values as encode
from lit_studio.media.arrays import as_pixels, shrink
from lit_studio.media.png import encode_pixels

MB = 1024 * 1024
MOST_PIXELS = 1600
"""A picture's longer side; a larger one is stored smaller."""
MOST_ITEMS = 20_000
MOST_NAME, MOST_CAPTION = 300, 2000


@dataclass(frozen=True)
class _Limits:
    item: float
    run: float


class Board:
    """What a run shows besides its curves; get it from ``L.studio.dashboard()`` or, in a callback, ``trainer.media``.

    Each call stores one item under a name and at a step; the dashboard lists the names, and a slider goes through the
    steps. Nothing of it needs a logger. What doesn't fit (4 MB an item and 256 MB a run, settings ``media.item_mb`` and
    ``media.run_mb``), or what a full disk refuses, is left out with a warning, told once: training never stops for it.
    A value that makes no sense raises. On ranks other than 0 nothing is stored.

    Args:
        run: whose; None stores nothing.

    Attributes:
        run: the run's directory.
    """

    def __init__(self, run: RunDirectory | None):
        self.run = run
        self._writer: MediaWriter | None = None
        self._limits: _Limits | None = None
        self._told: set[str] = set()

    def image(self, name: str, value: Any, step: int | None = None, caption: str = "") -> None:
        """Show an image, or a batch of them as one picture.

        Args:
            name: under which it is listed; ``a/b`` groups.
            value: a tensor, an array or a PIL image: ``(H, W)``, ``(C, H, W)`` or ``(H, W, C)`` with C = 1, 3 or 4,
                or a batch of at most 64. Bytes are taken as they are, floats from 0 to 1 as shades; anything else is
                stretched from its smallest to its largest value. More than 1,600 pixels on a side are averaged.
            step: where it belongs; now, if None.
            caption: a line below it.

        Raises:
            InvalidTypeError: ``value`` is no array.
            InvalidValueError: it has another shape.
        """
        if self.run is None:
            return
        pixels = as_pixels(value)
        smaller = shrink(pixels, MOST_PIXELS)
        if smaller.shape != pixels.shape:
            was, now = (f"{p.shape[1]} × {p.shape[0]}" for p in (pixels, smaller))
            self._tell(f"small {name}", f"The image {name!r} has {was} pixels and is stored with {now}.")
        self._put(name, "image", encode_pixels(smaller), step, caption, (smaller.shape[1], smaller.shape[0]))

    def histogram(self, name: str, values: Any, step: int | None = None, bins: int = 64, caption: str = "") -> None:
        """Show how ``values`` are distributed.

        Args:
            name: under which it is listed.
            values: a tensor or an array of any shape; NaN and infinities are counted apart.
            step: where it belongs; now, if None.
            bins: equal steps from the smallest to the largest finite value, 1 to 512.
            caption: a line below it.

        Raises:
            InvalidTypeError: ``values`` is no array.
            InvalidValueError: it is empty, or ``bins`` can't be drawn.
        """
        if self.run is not None:
            self._put_json(name, "histogram", encode.histogram(values, bins), step, caption)

    def confusion(
        self,
        name: str,
        matrix: Any,
        labels: Sequence[Any] | None = None,
        step: int | None = None,
        caption: str = "",
    ) -> None:
        """Show what is taken for what.

        Args:
            name: under which it is listed.
            matrix: counts ``(N, N)``, row = truth, column = guess; or a tuple ``(truth, guess)`` of class numbers or
                texts, as many each.
            labels: one for each class.
            step: where it belongs; now, if None.
            caption: a line below it.

        Raises:
            InvalidTypeError: no array.
            InvalidValueError: not square, other lengths, a class without a label, or more than 200 classes.
        """
        if self.run is not None:
            self._put_json(name, "confusion", encode.confusion(matrix, labels), step, caption)

    def table(self, name: str, rows: Any, step: int | None = None, caption: str = "") -> None:
        """Show a table, its first 1,000 rows and 60 columns.

        Args:
            name: under which it is listed.
            rows: a list of dicts, a dict of columns, a DataFrame, or a list of lists.
            step: where it belongs; now, if None.
            caption: a line below it.

        Raises:
            InvalidTypeError: it is no table.
            InvalidValueError: its columns have different lengths.
        """
        if self.run is not None:
            self._put_content(name, "table", encode.table(rows), step, caption)

    def text(self, name: str, text: str, step: int | None = None, caption: str = "") -> None:
        """Show a text, as it is, its first 100,000 characters.

        Args:
            name: under which it is listed.
            text: no markup.
            step: where it belongs; now, if None.
            caption: a line below it.

        Raises:
            InvalidTypeError: it is no text.
        """
        if self.run is not None:
            self._put_content(name, "text", encode.text(text), step, caption)

    def figure(self, name: str, figure: Any, step: int | None = None, caption: str = "") -> None:
        """Show a figure of matplotlib's, as it looks now, or of plotly's.

        Args:
            name: under which it is listed.
            figure: it stays yours: it is neither closed nor changed.
            step: where it belongs; now, if None.
            caption: a line below it.

        Raises:
            InvalidTypeError: it is neither.
        """
        if self.run is None:
            return
        if callable(getattr(figure, "savefig", None)):
            file = io.BytesIO()
            figure.savefig(file, format="png", dpi=min(120.0, MOST_PIXELS / max(figure.get_size_inches())))
            data = file.getvalue()
            size = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
            self._put(name, "figure", data, step, caption, size)
        elif callable(getattr(figure, "to_plotly_json", None)) and callable(getattr(figure, "to_json", None)):
            self._put_json(name, "plotly", json.loads(figure.to_json(), parse_constant=str), step, caption)
        else:
            raise InvalidTypeError(
                "This is no figure",
                value=type(figure).__name__,
                valid="a matplotlib or plotly Figure",
                advice="Of Axes take their figure: ax.figure",
            )

    # Storing ----------------------------------------------------------------------------------------------------

    def _put_content(self, name: str, kind: str, content: encode.Content, step: int | None, caption: str) -> None:
        record, lost = content
        if lost:
            self._tell(f"cut {name}", f"The {kind} {name!r} is too long and is stored without {lost}.")
        self._put_json(name, kind, record, step, caption)

    def _put_json(self, name: str, kind: str, record: dict[str, Any], step: int | None, caption: str) -> None:
        self._put(name, kind, json.dumps(record, separators=(",", ":")).encode(), step, caption)

    def _put(
        self, name: str, kind: str, data: bytes, step: int | None, caption: str, size: tuple[int, int] = (0, 0)
    ) -> None:
        assert self.run is not None
        _check_name(name)
        limits, writer = self._ready()
        if len(data) > limits.item:
            self._tell(
                f"large {name}",
                f"The {kind} {name!r} takes {len(data) / MB:.1f} MB and is left out; a run keeps items of up to "
                f"{limits.item / MB:g} MB (setting media.item_mb).",
            )
            return
        if writer.bytes + len(data) > limits.run or writer.items >= MOST_ITEMS:
            self._tell(
                "full",
                f"The run has {writer.items:,} pictures, tables and the like of {writer.bytes / MB:.0f} MB; no more "
                f"are stored (setting media.run_mb, now {limits.run / MB:g}; at most {MOST_ITEMS:,} items).",
            )
            return
        now, epoch = self._at()
        item = MediaItem(
            name=name,
            kind=kind,
            type="image/png" if size[0] else "application/json",
            step=now if step is None else int(step),
            epoch=epoch,
            time=time.time(),
            bytes=len(data),
            crc=zlib.crc32(data),
            caption=str(caption)[:MOST_CAPTION],
            width=size[0],
            height=size[1],
        )
        try:
            writer.add(item, data)
        except OSError as error:
            self._tell("disk", f"The {kind} {name!r} could not be stored, and training goes on: {error}")

    def _ready(self) -> tuple[_Limits, MediaWriter]:
        if self._limits is None:
            item, run = resolve_number("media.item_mb") * MB, resolve_number("media.run_mb") * MB
            self._limits = _Limits(min(item, ITEM_BYTES), run)
        if self._writer is None:
            assert self.run is not None
            self._writer = MediaWriter(self.run)
        return self._limits, self._writer

    def _at(self) -> tuple[int, int]:
        assert self.run is not None
        current = self._current()
        place = None if current is None else current.at()
        if place is not None:
            return place
        try:
            status = self.run.status()
        except StudioError:  # its file can't be read now
            return 0, 0
        return status.step, status.epoch

    def _tell(self, what: str, message: str) -> None:
        """Say it once."""
        if what in self._told:
            return
        self._told.add(what)
        current = self._current()
        watched = None if current is None else current.watched()
        if watched is not None:
            watched.warn("media-left-out", message)
        else:
            warnings.warn(message, stacklevel=4)

    def _current(self) -> Current | None:
        """This run as the process that trains it knows it; None in any other."""
        current = current_run()
        mine = current is not None and current.run is not None and self.run is not None
        return current if mine and current.run.path == self.run.path else None  # type: ignore[union-attr]

    def __repr__(self) -> str:
        return "Board that stores nothing" if self.run is None else f"Board of run {self.run.info.id} ({self.run.path})"


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.strip():
        raise InvalidTypeError("What is shown needs a name", value=name, valid="a text")
    if len(name) > MOST_NAME:
        raise InvalidValueError("The name is too long", value=len(name), valid=f"at most {MOST_NAME} characters")


_boards: dict[str, Board] = {}


def board_of(run: RunDirectory | None) -> Board:
    """The board of ``run``, the same one each time."""
    if run is None:
        return Board(None)
    key = f"{run.info.id} {run.path}"
    if key not in _boards:
        _boards[key] = Board(run)
    return _boards[key]
