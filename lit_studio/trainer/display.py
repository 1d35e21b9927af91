"""What is said in words: the table of results, and a quiet line where no bar and no screen shows a run.

It must not know the loop: it is handed results and events.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from lit_studio.base.events import EpochEnded, Event, Progressed, RunEnded, RunStarted

if TYPE_CHECKING:
    from lit_studio.trainer.trainer import Trainer

LINE_EVERY = 10.0
_log = logging.getLogger("lit_studio")


def make_audible() -> None:
    """Let the log's notes reach the terminal, unless the program has set up logging itself."""
    if _log.level == logging.NOTSET:
        _log.setLevel(logging.INFO)
    if not _log.handlers and not logging.getLogger().handlers:
        handler = _Stderr()
        handler.setFormatter(logging.Formatter("%(message)s"))
        _log.addHandler(handler)


def cli_lightning_logo() -> None:
    """Print the name in a frame, as example programs do when they start."""
    name = "Lit Studio"
    rule = "─" * (len(name) + 2)
    print(f"┌{rule}┐\n│ {name} │\n└{rule}┘")  # noqa: T201 - that is what it is for


class _Stderr(logging.StreamHandler[Any]):
    """Writes to whatever ``sys.stderr`` is at that moment; a notebook or a test replaces it.

    A notebook paints its stderr red, and a note is no error: there notes go to its stdout.
    """

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        in_notebook = type(sys.stderr).__module__.partition(".")[0] == "ipykernel"
        self.stream = sys.stdout if in_notebook else sys.stderr
        super().emit(record)


class QuietLine:
    """An observer that logs one line about every ten seconds, and one at the end."""

    def __init__(self, trainer: Trainer):
        self._trainer = trainer
        self._last = time.monotonic()
        self._progress: Progressed | None = None

    def observe(self, event: Event) -> None:
        """Log a line if one is due."""
        if isinstance(event, Progressed):
            self._progress = event
        elif isinstance(event, RunStarted):
            self._last = time.monotonic()
            return
        elif isinstance(event, RunEnded):
            if event.stage == "train":
                _log.info("%s after %d steps%s", event.state, event.step, self._metrics())
            return
        elif not isinstance(event, EpochEnded):
            return
        if time.monotonic() - self._last >= LINE_EVERY:
            self._last = time.monotonic()
            _log.info("%s", self._line())

    def close(self) -> None:
        """Nothing is held."""

    def _line(self) -> str:
        trainer, now = self._trainer, self._progress
        loop = trainer.fit_loop
        if now is None or now.stage not in ("train", "validate") or trainer.state.fn != "fit":
            share = f" {now.batch}/{now.batches or '?'}" if now is not None else ""
            return f"{trainer.stage_word}{share}{self._metrics()}"
        epochs = f"/{loop.max_epochs}" if loop.max_epochs not in (None, -1) else ""
        steps = f"/{now.planned_steps}" if now.planned_steps else ""
        return f"epoch {now.epoch + 1}{epochs}, step {now.step}{steps}{self._metrics()}"

    def _metrics(self) -> str:
        metrics = self._trainer.results.progress_bar_metrics or self._trainer.results.values
        return "".join(f", {name} {value:.4g}" for name, value in list(metrics.items())[:6])


def print_results(results: list[dict[str, float]], word: str) -> None:
    """Print what validation or testing found, one column a loader.

    Args:
        results: a dict of metrics for each loader.
        word: ``Validate`` or ``Test``.
    """
    if not any(results):
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    suffixes = [f"/dataloader_idx_{index}" for index in range(len(results))]
    columns = [
        {name.removesuffix(suffix): value for name, value in found.items()}
        for found, suffix in zip(results, suffixes, strict=True)
    ]
    table = Table(box=box.HEAVY_HEAD)
    table.add_column(f"{word} metric", justify="center", style="cyan")
    for index in range(len(results)):
        table.add_column(f"DataLoader {index}", justify="center", style="magenta")
    for name in sorted({name for column in columns for name in column}):
        table.add_row(name, *(str(column.get(name, "")) for column in columns))
    Console(file=sys.stdout).print(table)
