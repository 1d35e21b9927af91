"""Where a fit stands, under the names and in the nesting in which Lightning's loops keep it.

It must not count anything itself: each view reads the fit's one position, and writes to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_studio.trainer.evaluation import EvaluationLoop
    from lit_studio.trainer.state import Position
    from lit_studio.trainer.trainer import Trainer


class Counter:
    """Names for numbers of a position: reading asks for them, setting changes them.

    Args:
        position: the fit's.
        fields: for each name the position's field.
        base: a field to add: counts over all epochs are kept as those before this epoch and those of it.
        more: for each name a field that says whether to add 1.
    """

    _position: Position
    _fields: dict[str, str]
    _base: str
    _more: dict[str, str]

    def __init__(self, position: Position, fields: dict[str, str], base: str = "", more: dict[str, str] | None = None):
        self.__dict__.update(_position=position, _fields=fields, _base=base, _more=more or {})

    def __getattr__(self, name: str) -> int:
        try:
            number: int = getattr(self._position, self._fields[name])
        except KeyError:
            raise AttributeError(name) from None
        number += getattr(self._position, self._base) if self._base else 0
        return number + int(getattr(self._position, self._more[name]) if name in self._more else 0)

    def __setattr__(self, name: str, value: int) -> None:
        if name not in self._fields:
            raise AttributeError(name)
        below = getattr(self._position, self._base) if self._base else 0
        setattr(self._position, self._fields[name], value - below)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)}' for name in self._fields)})"


class Progress:
    """Counts over all epochs (``total``) and of the present one (``current``)."""

    def __init__(self, total: Counter, current: Counter):
        self.total, self.current = total, current

    def __repr__(self) -> str:
        return f"Progress(total={self.total}, current={self.current})"


class BatchProgress(Progress):
    """The same for batches, with :attr:`is_last_batch`."""

    def __init__(self, position: Position):
        fields = {"ready": "batches_begun", "started": "batches_begun", "processed": "batches_begun"}
        fields["completed"] = "batches_done"
        super().__init__(Counter(position, fields, "earlier_batches"), Counter(position, fields))
        self._position = position

    @property
    def is_last_batch(self) -> bool:
        """Whether the batch is the epoch's last."""
        return self._position.is_last_batch


class OptimizationViews:
    """What Lightning's loops for automatic and manual optimization keep: the steps of the optimizers."""

    def __init__(self, position: Position, counts: bool):
        self._position, self._counts = position, counts

    @property
    def optim_progress(self) -> OptimizationViews:
        """This object; it is where Lightning counts in automatic optimization."""
        return self

    @property
    def optim_step_progress(self) -> Progress:
        """Steps, as counted in manual optimization."""
        position = self._position
        counter = Counter(position, dict.fromkeys(("ready", "completed"), "optimizer_steps"))
        return Progress(counter, counter)

    @property
    def optimizer_steps(self) -> int:
        """Steps of all optimizers; 0 in the one of the two loops that doesn't run."""
        return self._position.optimizer_steps if self._counts else 0


class ProgressViews:
    """Gives the fit's loop the attributes of Lightning's fit loop and training-epoch loop."""

    position: Position
    max_epochs: int | None
    max_steps: int
    _trainer: Trainer

    restarting = False
    """Whether a loaded state is still to be gone on from; here that is settled when the state is loaded."""

    @property
    def epoch_loop(self) -> Any:
        """Lightning's fit loop has another one in it, for the batches; here both are this one."""
        return self

    @property
    def _batches_that_stepped(self) -> int:
        return self.position.stepped

    @_batches_that_stepped.setter
    def _batches_that_stepped(self, value: int) -> None:
        self.position.stepped = value

    @property
    def global_step(self) -> int:
        """Optimizer steps done."""
        return self.position.optimizer_steps

    @property
    def total_batch_idx(self) -> int:
        """Batches begun in the whole fit, less one."""
        return self.position.earlier_batches + self.position.batches_begun - 1

    @property
    def batch_idx(self) -> int:
        """The current batch within its epoch."""
        return self.position.batches_begun - 1

    @property
    def epoch_progress(self) -> Progress:
        """Epochs, begun and completed."""
        fields = {"ready": "epochs_begun", "started": "epochs_begun", "processed": "epoch", "completed": "epoch"}
        counter = Counter(self.position, fields, more={"processed": "epoch_processed"})
        return Progress(counter, counter)

    @property
    def batch_progress(self) -> BatchProgress:
        """Training batches."""
        return BatchProgress(self.position)

    @property
    def scheduler_progress(self) -> Progress:
        """Updates of learning-rate schedulers."""
        counter = Counter(self.position, dict.fromkeys(("ready", "completed"), "scheduler_steps"))
        return Progress(counter, counter)

    @property
    def automatic_optimization(self) -> OptimizationViews:
        """Steps in automatic optimization."""
        return OptimizationViews(self.position, self._is_automatic())

    @property
    def manual_optimization(self) -> OptimizationViews:
        """Steps in manual optimization."""
        return OptimizationViews(self.position, not self._is_automatic())

    def _is_automatic(self) -> bool:
        module = self._trainer.lightning_module
        return module is None or module.automatic_optimization

    @property
    def val_loop(self) -> EvaluationLoop:
        """The loop of validation."""
        return self._trainer.validation

    @property
    def done(self) -> bool:
        """Whether a bound is reached, or a wish to stop granted."""
        position = self.position
        if self.max_steps != -1 and position.optimizer_steps >= self.max_steps:
            return True
        if self.max_epochs not in (None, -1) and position.epoch >= self.max_epochs:
            return True
        may_stop: Any = self._may_stop  # type: ignore[attr-defined]
        return self._trainer.should_stop and bool(may_stop())

    @property
    def skip(self) -> bool:
        """Whether there is nothing to do: no batches."""
        return self.done or self._trainer.num_training_batches == 0

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of where the fit stands."""
        state: dict[str, Any] = self.position.to_loops(self._is_automatic())["fit_loop"]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Stand where ``state_dict`` says."""
        steps = state_dict.get("epoch_loop.automatic_optimization.optim_progress", {}).get("optimizer", {})
        manual = state_dict.get("epoch_loop.manual_optimization.optim_step_progress", {})
        done = sum(one.get("total", {}).get("completed", 0) for one in (steps.get("step", {}), manual))
        epoch = state_dict.get("epoch_progress", {}).get("current", {}).get("completed", 0)
        file = {"loops": {"fit_loop": state_dict}, "global_step": done, "epoch": epoch}
        self.position.take(type(self.position).from_checkpoint(file))
