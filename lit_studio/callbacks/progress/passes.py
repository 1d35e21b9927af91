"""A bar over passes: which pass through which loader is under way, how fast it goes, and when to draw.

It must not know how a pass is drawn; that is a subclass's part.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lit_studio.base.errors import InvalidValueError
from lit_studio.callbacks.progress.base import ProgressBar, format_metric, known_total

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.trainer import Trainer

DRAW_EVERY = 0.2
_EARLY = 0.02  # a flush that comes so much too early draws all the same: the next one would be too late
_WINDOW = 100


@dataclass(slots=True)
class Pass:
    """One pass through a loader.

    Attributes:
        kind: ``train``, ``sanity_check``, ``validate``, ``test`` or ``predict``.
        description: what stands before the bar.
        total: batches, None where unknown.
        done: batches that are through.
        started: when it began, on the monotonic clock.
        elsewhere: seconds spent in a pass inside this one (validation inside a training epoch).
    """

    kind: str
    description: str
    total: int | None
    done: int = 0
    started: float = field(default_factory=time.monotonic)
    elsewhere: float = 0.0
    _window: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_WINDOW))

    def seconds(self, now: float) -> float:
        """Seconds spent in this pass itself."""
        return max(0.0, now - self.started - self.elsewhere)

    def resume_at(self, done: int, now: float) -> None:
        """Earlier batches were done before this process: they don't count for the rate."""
        self._window.clear()
        self._window.append((self.seconds(now), done))

    def rate(self, now: float) -> float:
        """Batches a second over the last draws, 0 while unknown."""
        seconds = self.seconds(now)
        if not self._window:
            self._window.append((0.0, 0))
        since, before = self._window[0]
        if self._window[-1][1] != self.done:
            self._window.append((seconds, self.done))
        return (self.done - before) / (seconds - since) if seconds > since else 0.0

    def left(self, now: float) -> float | None:
        """Seconds to the end of the pass, None while unknown."""
        rate = self.rate(now)
        return None if self.total is None or rate <= 0 else max(0, self.total - self.done) / rate


class PassBar(ProgressBar):
    """Follows the hooks and keeps the passes that are under way, outermost first.

    A subclass draws: :meth:`open_display`, :meth:`draw`, :meth:`close_pass` and :meth:`close_display`.

    Args:
        refresh_rate: draw only at every so many batches, and at most five times a second; 0 draws nothing.
        leave: whether the bar of a finished epoch stays.

    Raises:
        InvalidValueError: ``refresh_rate`` is negative.
    """

    def __init__(self, refresh_rate: int = 1, leave: bool = False):
        super().__init__()
        if refresh_rate < 0:
            raise InvalidValueError("refresh_rate is negative", value=refresh_rate, valid="≥ 0")
        self._refresh_rate = refresh_rate
        self._leave = leave
        self._enabled = True
        self._shown = False
        self._passes: list[Pass] = []
        self._drawn = 0.0
        self._draw_every = DRAW_EVERY
        self._metrics: dict[str, Any] = {}
        self._module: LightningModule | None = None

    @property
    def refresh_rate(self) -> int:
        """Batches between draws."""
        return self._refresh_rate

    @property
    def is_enabled(self) -> bool:
        """Whether it draws."""
        return self._enabled and self._refresh_rate > 0

    @property
    def is_disabled(self) -> bool:
        """Whether it draws nothing."""
        return not self.is_enabled

    def disable(self) -> None:
        """Draw nothing from now on."""
        self._stop()
        self._enabled = False

    def enable(self) -> None:
        """Draw again."""
        self._enabled = True

    # A subclass draws ---------------------------------------------------------------------------------------------

    def open_display(self) -> None:
        """Something is about to be drawn for the first time in this run."""

    def draw(self, passes: list[Pass], metrics: dict[str, Any], now: float) -> None:
        """Draw the passes that are under way, outermost first."""
        raise NotImplementedError

    def close_pass(self, done: Pass, metrics: dict[str, Any], now: float) -> None:
        """The innermost pass is over; it is not among the passes of the next draw."""

    def close_display(self) -> None:
        """The run is over: leave the terminal as it is for others."""

    # Passes -------------------------------------------------------------------------------------------------------

    def _begin(self, kind: str, description: str, total: int | float) -> None:
        if self.is_disabled:
            return
        if not self._shown:
            self._shown = True
            self._metrics = {}
            self.open_display()
        self._passes.append(Pass(kind, description, known_total(total)))
        self._draw(time.monotonic())

    def _advance(self, done: int) -> None:
        if not self._passes:
            return
        current = self._passes[-1]
        now = time.monotonic()
        if current.done == 0 and done > 1:
            current.resume_at(done - 1, now)
        current.done = done
        if now - self._drawn >= self._draw_every and (done % self._refresh_rate == 0 or done == current.total):
            self._draw(now)

    def _draw(self, now: float, read_metrics: bool = True) -> None:
        self._drawn = now
        if read_metrics:
            self._read_metrics()
        self.draw(self._passes, self._metrics, now)

    def _read_metrics(self) -> None:
        if self._trainer is not None and self._module is not None and not self._trainer.sanity_checking:
            self._metrics = self.get_metrics(self._trainer, self._module)

    def _finish(self, kind: str) -> None:
        """End the innermost pass if it is of this kind."""
        if not self._passes or self._passes[-1].kind != kind:
            return
        now = time.monotonic()
        self._read_metrics()
        self.draw(self._passes, self._metrics, now)  # its last state
        done = self._passes.pop()
        if self._passes:
            self._passes[-1].elsewhere += now - done.started
        self.close_pass(done, self._metrics, now)
        if self._passes:
            self._draw(now, read_metrics=False)

    def _stop(self) -> None:
        self._passes.clear()
        if self._shown:
            self._shown = False
            self.close_display()

    def _evaluate(self, kind: str, description: str, total: Any, dataloader_idx: int) -> None:
        """A batch of a validation, test or predict pass begins: a new loader is a new pass."""
        if not self.has_dataloader_changed(dataloader_idx):
            return
        self._finish(kind)
        trainer = self.trainer
        loaders = {
            "sanity_check": trainer.num_sanity_val_batches,
            "validate": trainer.num_val_batches,
            "test": trainer.num_test_batches,
            "predict": trainer.num_predict_batches,
        }[kind]
        several = isinstance(loaders, list) and len(loaders) > 1
        self._begin(kind, f"{description} DataLoader {dataloader_idx}" if several else description, total())

    def _attach(self, pl_module: LightningModule) -> None:
        self._module = pl_module
        self.reset_dataloader_idx_tracker()

    def _is_idle_in(self, hook: str) -> bool:
        own = type(self)
        usual = own.on_train_batch_end is PassBar.on_train_batch_end and own._advance is PassBar._advance
        return hook == "on_train_batch_end" and usual and hook not in self.__dict__

    def _on_flush(self, done: int) -> None:
        """Draw a training epoch, of which ``done`` batches are through; asked several times a second.

        That takes the place of a hook at each batch, which would cost more than a small model's whole bar.
        """
        if not self._passes or self._passes[-1].kind != "train" or not self._is_idle_in("on_train_batch_end"):
            return
        current, now = self._passes[-1], time.monotonic()
        rate, before = self._refresh_rate, current.done
        current.done = done
        due = now - self._drawn >= self._draw_every - _EARLY
        if due and done != before and (done // rate != before // rate or done == current.total):
            self._draw(now)

    # Hooks --------------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take note of the trainer and the module; only rank 0 draws."""
        super().setup(trainer, pl_module, stage)
        self._attach(pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the epoch before (its last metrics are in by now), open the next."""
        self._finish("train")
        limit = trainer.max_epochs
        of = f"/{limit - 1}" if limit is not None and limit > 0 else ""
        self._begin("train", f"Epoch {trainer.current_epoch}{of}", self.total_train_batches)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One batch further."""
        self._advance(batch_idx + 1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the epoch's metrics."""
        if self._passes and self._passes[-1].kind == "train":
            self._draw(time.monotonic())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the last epoch."""
        self._finish("train")
        self._stop()

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the sanity check."""
        self._finish("sanity_check")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A validation begins; its bar comes with its first batch."""
        self._attach(pl_module)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Open a pass if the loader is a new one."""
        kind = "sanity_check" if trainer.sanity_checking else "validate"
        description = self.sanity_check_description if trainer.sanity_checking else self.validation_description
        self._evaluate(kind, description, lambda: self.total_val_batches_current_dataloader, dataloader_idx)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """One batch further."""
        self._advance(batch_idx + 1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the pass."""
        self._finish("validate")
        if trainer.state.fn != "fit":
            self._stop()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A test begins; its bar comes with its first batch."""
        self._attach(pl_module)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Open a pass if the loader is a new one."""
        self._evaluate(
            "test", self.test_description, lambda: self.total_test_batches_current_dataloader, dataloader_idx
        )

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """One batch further."""
        self._advance(batch_idx + 1)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the pass."""
        self._finish("test")
        self._stop()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A prediction begins; its bar comes with its first batch."""
        self._attach(pl_module)

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Open a pass if the loader is a new one."""
        self._evaluate(
            "predict", self.predict_description, lambda: self.total_predict_batches_current_dataloader, dataloader_idx
        )

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """One batch further."""
        self._advance(batch_idx + 1)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the pass."""
        self._finish("predict")
        self._stop()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The run is over."""
        self._stop()
        self._module = None

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The run is over; what was drawn stays."""
        self._stop()


def clock(seconds: float | None) -> str:
    """``m:ss`` or ``h:mm:ss``; ``-:--`` while unknown."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def speed(rate: float) -> str:
    """Batches a second, or seconds a batch below one."""
    if rate <= 0:
        return "-- it/s"
    return f"{rate:.2f} it/s" if rate >= 1 else f"{1 / rate:.2f} s/it"


def quiet_line(done: Pass, metrics: dict[str, Any], now: float, spec: str = ".4g") -> str:
    """One line about a pass that is over, for a log file."""
    total = "" if done.total is None else f"/{done.total}"
    numbers = " ".join(f"{name}={format_metric(value, spec)}" for name, value in metrics.items())
    seconds = done.seconds(now)
    rate = done.done / seconds if seconds > 0 else 0.0
    took = f"{seconds:.1f} s" if seconds < 60 else clock(seconds)
    return f"{done.description}: {done.done}{total} in {took}, {speed(rate)} {numbers}".rstrip()
