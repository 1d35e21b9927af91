"""``self.log``: values on a device are kept as they are and read once a flush, all in one copy to the host.

It must not know loaders, observers or loggers: it is told which hook runs, and hands out what was logged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Number
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lit_studio.base.errors import InvalidTypeError, InvalidValueError, MisconfigurationException
from lit_studio.trainer.batches import infer_batch_size
from lit_studio.trainer.state import Position

if TYPE_CHECKING:
    from lit_studio.trainer.shared_metrics import SharedMetrics

REDUCTIONS: dict[Any, str] = {
    **{spelt: name for name in ("mean", "sum", "min", "max") for spelt in (name, name.upper(), name.capitalize())},
    **dict.fromkeys(("avg", "AVG", "Avg"), "mean"),
    **{torch.mean: "mean", torch.sum: "sum", torch.min: "min", torch.max: "max"},
    **{min: "min", max: "max", sum: "sum"},
}
_TRAIN_BATCH = (
    "training_step",
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_before_zero_grad",
    "optimizer_step",
)
_EPOCH = ("epoch_start", "epoch_end", "start")


class Scope:
    """The hook that runs now, as far as it matters to ``self.log``.

    Attributes:
        hook: its name.
        stage: ``train``, ``validate`` or ``test``; None where nothing can be logged.
        on_step, on_epoch: what a call that says nothing means.
        steps: whether ``on_step`` is allowed.
        series: what has been logged here.
        newest: of each name, the series that it was last logged to.
        keys: with which arguments, by name and loader.
    """

    __slots__ = ("hook", "keys", "newest", "on_epoch", "on_step", "series", "stage", "steps")

    def __init__(self, hook: str):
        self.hook = hook
        self.stage: str | None = None
        self.on_step, self.on_epoch, self.steps = False, True, True
        self.series: dict[Any, Series] = {}
        self.newest: dict[str, Series] = {}
        self.keys: dict[tuple[str, int | None], tuple[Any, ...]] = {}
        if hook in _TRAIN_BATCH:
            self.stage, self.on_step, self.on_epoch = "train", True, False
            return
        for word, stage in (("train", "train"), ("validation", "validate"), ("test", "test")):
            if hook == f"{word}_step" or hook in (f"on_{word}_batch_start", f"on_{word}_batch_end"):
                self.stage = stage
            elif hook in tuple(f"on_{word}_{moment}" for moment in _EPOCH) or (
                stage == "validate" and hook in ("on_sanity_check_start", "on_sanity_check_end")
            ):
                self.stage, self.steps = stage, False


@dataclass(eq=False, slots=True)
class Series:
    """One key logged in one hook for one loader, and what came since the last flush.

    Attributes:
        key: the arguments it is logged with.
        name: as logged, with the loader's suffix.
        step_name, epoch_name: the names of its values by step and by epoch (``a_step`` and ``a_epoch`` where both).
        pending, steps, weights: the values not read yet, when they were logged, and their batch sizes.
        last: the newest value read.
        total, weight: the epoch so far.
        metric: a torchmetrics object, which accumulates by itself.
        sync: makes one value for all ranks of what the epoch has on each; ``synced`` is that value.
    """

    key: tuple[Any, ...]
    name: str
    step_name: str
    epoch_name: str
    stage: str
    loader: int | None
    on_step: bool
    on_epoch: bool
    prog_bar: bool
    logger: bool
    reduction: str
    metric: Any = None
    pending: list[Any] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    last: float | None = None
    total: float = 0.0
    weight: float = 0.0
    touched: bool = False
    sync: Callable[[Series], float] | None = None
    synced: float | None = None

    def take(self, values: list[float]) -> None:
        """Add ``values``, just read from the device, to the epoch."""
        self.last, self.touched, self.synced = values[-1], True, None
        if not self.on_epoch:
            return
        if self.reduction == "mean":
            self.total += sum(map(float.__mul__, values, map(float, self.weights)))
            self.weight += sum(self.weights)
        elif self.reduction == "sum":
            self.total += sum(values)
        else:
            # max() and min() drop a NaN or not by its place; an epoch that saw one must show it.
            every = [self.total, *values] if self.weight else values
            bad = [value for value in every if math.isnan(value)]
            self.total = bad[0] if bad else (max if self.reduction == "max" else min)(every)
            self.weight = 1.0

    def compute(self) -> float | None:
        """The epoch's value so far, None if nothing was logged."""
        if not self.touched or not self.on_epoch:
            return None
        if self.metric is not None:
            return float(self.metric.compute())
        if self.sync is not None:
            if self.synced is None:
                self.synced = self.sync(self)
            return self.synced
        if self.reduction != "mean":
            return self.total
        return self.total / self.weight if self.weight else math.nan

    def reset(self) -> None:
        """Begin a new epoch."""
        self.pending, self.steps, self.weights = [], [], []
        self.total = self.weight = 0.0
        self.touched, self.synced = False, None
        if self.metric is not None:
            self.metric.reset()


@dataclass(frozen=True, slots=True)
class Read:
    """What one flush brought for one series: values by step, for observers and loggers."""

    series: Series
    steps: Sequence[int]
    values: list[float]


class Results:
    """All that was logged in one call of the Trainer.

    Attributes:
        scope: the hook that runs now.
        loader: the index of the loader that runs now, None if there is one loader only.
        batch: the batch that runs now.
        eval_step: the step at which a value is logged outside training, None inside it.
        losses, loss_steps: the losses of the steps since the last flush, logged or not; of quick steps, some.
        values: everything read so far by name, exact.
        callback_metrics, logged_metrics: the same as tensors on the host, by Lightning's rules of naming.
        progress_bar_metrics: floats, those logged with ``prog_bar=True``.
    """

    def __init__(self, position: Position):
        self._position = position
        self._scopes: dict[str, Scope] = {}
        self._nowhere = Scope("")
        self.scope = self._nowhere
        self.loader: int | None = None
        self.batch: Any = None
        self.eval_step: int | None = None
        self.losses: list[Tensor | float] = []
        self.loss_steps: list[int] = []
        self._keeps_tensors = False
        self.shared: SharedMetrics | None = None
        self._fresh: list[Series] = []
        self._unread: list[tuple[list[Read], list[int], list[float]]] = []
        self.values: dict[str, float] = {}
        self.callback_metrics: dict[str, Tensor] = {}
        self.logged_metrics: dict[str, Tensor] = {}
        self.progress_bar_metrics: dict[str, float] = {}

    def scope_of(self, hook: str) -> Scope:
        """The scope of ``hook``; make it :attr:`scope` while the hook runs."""
        if hook not in self._scopes:
            self._scopes[hook] = Scope(hook)
        return self._scopes[hook]

    def leave(self) -> None:
        """No hook runs in which something could be logged."""
        self.scope = self._nowhere

    def log(
        self,
        name: str,
        value: Any,
        prog_bar: bool,
        logger: bool | None,
        on_step: bool | None,
        on_epoch: bool | None,
        reduce_fx: Any,
        add_dataloader_idx: bool,
        batch_size: int | None,
    ) -> None:
        """Keep ``value``; see ``LightningModule.log`` for the arguments and errors."""
        key = (name, self.loader, prog_bar, logger, on_step, on_epoch, reduce_fx, add_dataloader_idx)
        series = self.scope.newest.get(name)
        if series is None or series.key != key:  # to compare costs half of what it does to look up
            series = self.scope.newest[name] = self.scope.series.get(key) or self.define(key)
        self.keep(series, value, batch_size)

    def keep(self, series: Series, value: Any, batch_size: int | None) -> None:
        """Add ``value`` to ``series``, as :meth:`log` does with what it has found by its key."""
        if type(value) is Tensor and value.is_cpu:
            # On the host reading is cheaper than keeping. Elsewhere it would wait for the device.
            try:
                value = value.item()
            except RuntimeError:  # several elements: said below
                pass
        if type(value) is not float:
            value = self._unusual(series, value)
            if value is None:
                return
        pending = series.pending
        if not pending:
            self._fresh.append(series)
        pending.append(value)
        series.steps.append(self._position.stepped if self.eval_step is None else self.eval_step)
        if series.on_epoch:
            series.weights.append(self._weigh(series, batch_size))

    def _weigh(self, series: Series, batch_size: int | None) -> int:
        if batch_size is not None:
            return batch_size
        if series.reduction != "mean" or self.batch is None:
            return 1
        return infer_batch_size(self.batch)

    def define(self, key: tuple[Any, ...]) -> Series:
        """The series of ``key``: name, loader and the arguments of :meth:`log` but the batch size, in order."""
        name, loader, prog_bar, logger, on_step, on_epoch, reduce_fx, suffix = key
        scope = self.scope
        if not isinstance(name, str):
            raise InvalidTypeError("self.log's first argument must be a name", value=name, valid="a str")
        if scope.stage is None:
            raise MisconfigurationException(
                f"You can't `self.log()` inside `{scope.hook}`" if scope.hook else "You can't `self.log()` here",
                advice="Log in a step or in a hook of a batch or an epoch. Prediction logs nothing.",
            )
        on_step = scope.on_step if on_step is None else on_step
        on_epoch = scope.on_epoch if on_epoch is None else on_epoch
        if on_step and not scope.steps:
            raise MisconfigurationException(
                f"You can't `self.log({name!r}, on_step=True)` inside `{scope.hook}`", valid="on_epoch=True there"
            )
        if not (on_step or on_epoch):
            raise MisconfigurationException("`self.log(on_step=False, on_epoch=False)` is not useful", value=name)
        if name.endswith("/") or "/dataloader_idx_" in name:
            raise MisconfigurationException(
                f"You called `self.log` with the key `{name}`, which can't be one: '/dataloader_idx_N' is added to it "
                "where there are several loaders"
            )
        if reduce_fx not in REDUCTIONS:
            raise MisconfigurationException(
                "Only `self.log(..., reduce_fx={min,max,mean,sum})` are supported",
                value=reduce_fx,
                advice="For a custom reduction log a torchmetrics.Metric object instead.",
            )
        if scope.keys.setdefault((name, loader), key) != key:
            raise MisconfigurationException(
                f"You called `self.log({name}, ...)` twice in `{scope.hook}` with different arguments",
                advice="Use one set of arguments for one key.",
            )
        tail = f"/dataloader_idx_{loader}" if suffix and loader is not None else ""
        both = on_step and on_epoch
        series = Series(
            key=key,
            name=name + tail,
            step_name=(f"{name}_step" if both else name) + tail,
            epoch_name=(f"{name}_epoch" if both else name) + tail,
            stage=scope.stage,
            loader=loader,
            on_step=on_step,
            on_epoch=on_epoch,
            prog_bar=prog_bar,
            logger=logger is not False,
            reduction=REDUCTIONS[reduce_fx],
        )
        scope.series[key] = series
        return series

    def _unusual(self, series: Series, value: Any) -> Any:
        """A scalar from what isn't a plain one; None if there is nothing to keep (a metric without a step value)."""
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise InvalidValueError(
                    f"`self.log({series.key[0]}, value)` was called, but the tensor must have a single element",
                    value=tuple(value.shape),
                    advice=f"You can try doing `self.log({series.key[0]}, value.mean())`.",
                )
            # A copy: the tensor may be changed in place before the flush (``loss += …``, a parameter).
            self._keeps_tensors = True
            kept = value.detach().clone()
            return kept if kept.ndim == 0 else kept.reshape(())
        if isinstance(value, Number) and not isinstance(value, complex):
            return float(value)  # type: ignore[arg-type]
        if all(callable(getattr(value, part, None)) for part in ("update", "compute", "reset")):
            series.metric, series.touched = value, True
            step_value = getattr(value, "_forward_cache", None)
            if not series.on_step or step_value is None:
                return None
            self._keeps_tensors = True
            return step_value.detach().clone().reshape(())
        raise InvalidValueError(
            f"`self.log({series.key[0]}, {value})` was called, but `{type(value).__name__}` values cannot be logged",
            valid="a tensor with one element, a number or a torchmetrics.Metric",
        )

    def note_loss(self, loss: Tensor, step: int | None = None) -> None:
        """Keep the loss of ``step``, by default of the present one."""
        if loss.is_cpu:
            self.losses.append(loss.item())
        else:
            self._keeps_tensors = True
            self.losses.append(loss.detach())
        self.loss_steps.append(self._position.stepped if step is None else step)

    # Reading ----------------------------------------------------------------------------------------------------

    def take(self) -> list[tuple[list[Read], list[int], list[float]]]:
        """Everything that observers and loggers have not been told yet, as from :meth:`read`."""
        if self._fresh or self.losses:
            self._unread.append(self.read())
        unread, self._unread = self._unread, []
        return unread

    def read(self) -> tuple[list[Read], list[int], list[float]]:
        """Bring everything pending to the host in one copy.

        Returns:
            What came for each series, and the steps and values of the losses.
        """
        fresh, self._fresh = self._fresh, []
        losses, loss_steps, self.losses, self.loss_steps = self.losses, self.loss_steps, [], []
        values_of = [*(series.pending for series in fresh), losses]
        if self._keeps_tensors:
            self._keeps_tensors = False
            host = iter(to_host([value for values in values_of for value in values if type(value) is Tensor]))
            values_of = [[next(host) if type(value) is Tensor else value for value in values] for values in values_of]
        found = []
        for series, values in zip(fresh, values_of, strict=False):
            series.take(values)
            found.append(Read(series, in_short(series.steps), values))
            series.pending, series.steps, series.weights = [], [], []
        for read in found:
            self._note_step(read.series)
        return found, loss_steps, values_of[-1]

    def _note_step(self, series: Series) -> None:
        if series.on_step and series.last is not None:
            names = (series.name, series.step_name) if series.stage == "train" else ()
            self._note(series, series.last, names, series.step_name)

    def _note(self, series: Series, value: float, names: tuple[str, ...], shown: str) -> None:
        tensor = torch.tensor(value)
        for name in names:
            self.values[name], self.callback_metrics[name] = value, tensor
        if series.logger:
            self.logged_metrics[shown] = tensor
        if series.prog_bar:
            self.progress_bar_metrics[shown] = value

    def series(self, stage: str) -> list[Series]:
        """All series of ``stage``, in the order in which they were first logged."""
        return [s for scope in self._scopes.values() if scope.stage == stage for s in scope.series.values()]

    def note_epoch(self, stage: str) -> list[tuple[Series, float]]:
        """Put the epoch's values of ``stage`` into the metrics and return them; call :meth:`read` before."""
        found = []
        for series in self.series(stage):
            value = series.compute()
            if value is None:
                continue
            found.append((series, value))
            self._note(series, value, (series.name, series.epoch_name), series.epoch_name)
        return found

    def reset(self, stage: str) -> None:
        """Begin an epoch of ``stage`` from nothing; also forget which arguments a key was logged with."""
        for scope in self._scopes.values():
            if scope.stage == stage:
                for series in scope.series.values():
                    series.reset()
        self._fresh = [series for series in self._fresh if series.pending]

    def refresh(self, epoch_over: str | None) -> None:
        """Bring the metrics up to date because somebody asks for them.

        What is read here still goes to observers and loggers with the next flush.

        Args:
            epoch_over: the stage whose epoch's end hooks run now, None elsewhere.
        """
        if self._fresh:
            self._unread.append(self.read())
        if epoch_over is not None:
            self.note_epoch(epoch_over)

    def clear(self) -> None:
        """Forget everything; a new call of the Trainer begins."""
        for stage in ("train", "validate", "test"):
            self.reset(stage)  # torchmetrics objects too, where the last call ended in the middle
        self._scopes.clear()
        self._fresh, self._unread, self.losses, self.loss_steps = [], [], [], []
        self.leave()
        self.loader = self.batch = self.eval_step = None
        self.clear_metrics()

    def clear_metrics(self) -> None:
        """Forget the values that were read."""
        self.values.clear()
        self.callback_metrics.clear()
        self.logged_metrics.clear()
        self.progress_bar_metrics.clear()


def in_short(steps: list[int]) -> Sequence[int]:
    """``steps``, as a range where they follow each other without a gap."""
    span = range(steps[0], steps[0] + len(steps))
    return span if steps[-1] == span[-1] and steps == list(span) else steps


def to_host(tensors: list[Tensor]) -> list[float]:
    """The values of one-element ``tensors`` as floats: one copy for each device and dtype among them."""
    if not tensors:
        return []
    first = tensors[0]
    device, dtype = first.device, first.dtype
    with torch.no_grad():
        if all(tensor.dtype is dtype and tensor.device == device for tensor in tensors):
            return _stacked(tensors)
        values = [0.0] * len(tensors)
        groups: dict[tuple[torch.device, torch.dtype], list[int]] = {}
        for index, tensor in enumerate(tensors):
            groups.setdefault((tensor.device, tensor.dtype), []).append(index)
        for indices in groups.values():
            for index, value in zip(indices, _stacked([tensors[i] for i in indices]), strict=True):
                values[index] = value
        return values


def _stacked(tensors: list[Tensor]) -> list[float]:
    # ``tolist`` after one stack is one synchronisation for all of them.
    values = torch.stack(tensors).tolist()
    return values if tensors[0].is_floating_point() else list(map(float, values))
