"""A training step as one CUDA graph: recorded once, then replayed, so that small models don't wait for Python.

It must not know epochs, loaders or the record; :mod:`step` asks it to do a step, and does it itself where it can't.

Only what runs on the device is replayed. The Python of ``training_step`` runs while recording and never again: what it
decides by the batch's index or the epoch stays as it was then. That is why capture is asked for and never a default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer
from torch.utils._pytree import tree_flatten, tree_map

from lit_studio.trainer.dispatch import overrides

if TYPE_CHECKING:
    from lit_studio.trainer.results import Results
    from lit_studio.trainer.trainer import Trainer

WARM_UP = 3  # steps before recording, in which cuDNN and the optimizer make what they keep
MOST_RECORDINGS = 4
_BETWEEN = (
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)
_OWN = ("backward", "optimizer_step", "optimizer_zero_grad", "configure_gradient_clipping")


class Graphs(Protocol):
    """What records and replays; CUDA's, or a test's."""

    def warm_up(self, work: Callable[[], Any]) -> Any:
        """Do ``work`` now, as it must be done before recording."""

    def record(self, work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        """Record ``work`` without doing it; what it returned, and what replays it."""


class CudaGraphs:
    """Recording by ``torch.cuda.CUDAGraph``, as PyTorch's notes on CUDA graphs describe it.

    Args:
        device: the device.
    """

    def __init__(self, device: torch.device):
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def warm_up(self, work: Callable[[], Any]) -> Any:
        """Do ``work`` on a stream that is not the default one: what it leaves behind may then be recorded."""
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            answer = work()
        current.wait_stream(self._stream)
        return answer

    def record(self, work: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        """Record ``work``; other threads, such as one that pins memory, may go on meanwhile."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            answer = work()
        return answer, graph.replay


def graphs_of(device: torch.device) -> Graphs | None:
    """What records on ``device``, None where nothing does."""
    return CudaGraphs(device) if device.type == "cuda" else None


def captured(
    trainer: Trainer,
    work: Callable[[Any, int], tuple[Any, Tensor | None]],
    optimizer: Optimizer | None,
    note_loss: Callable[[Tensor], None],
) -> StepCapture | None:
    """The captured step of a fit; None, with a warning that says why, where that can't be.

    Args:
        trainer: with module, hooks and strategy ready.
        work: see :class:`StepCapture`.
        optimizer: None for manual optimization, or without one.
        note_loss: see :class:`StepCapture`.
    """

    def give_up(reason: str) -> None:
        trainer.observation.warn("capture-off", f"Steps run as usual and not as a CUDA graph, because {reason}.")

    device = trainer.strategy.root_device
    graphs = graphs_of(device)
    if graphs is None:
        give_up(f"the device is {device}, and only CUDA has graphs")
        return None
    reason = obstacle(trainer, optimizer)
    if reason is not None or optimizer is None:
        give_up(str(reason))
        return None
    parameters: list[Tensor] = list(trainer.lightning_module.parameters())
    keeps = trainer.hooks.find("on_train_batch_end") is not None
    return StepCapture(work, optimizer, parameters, trainer.results, note_loss, keeps, graphs, give_up)


def obstacle(trainer: Trainer, optimizer: Optimizer | None) -> str | None:
    """Why the steps of ``trainer`` can't be captured, a clause; None if they can.

    Args:
        trainer: with module, hooks and strategy ready.
        optimizer: the fit's; None without one or in manual optimization.
    """
    module = trainer.lightning_module
    if optimizer is None:
        return "the module optimizes manually or without an optimizer"
    if trainer.world_size > 1:
        return "several ranks train together"
    if trainer.precision_plugin.scaler is not None:
        return f"precision {trainer.precision_plugin.precision} reads the gradients in each step to scale the loss"
    if trainer.accumulate_grad_batches != 1:
        return "gradients are accumulated"
    if trainer.profiles or trainer.plan.detect_anomaly:
        return "a profiler or detect_anomaly looks into each step"
    between = [name for name in _BETWEEN if trainer.hooks.find(name) is not None]
    between += [name for name in _OWN if overrides(module, name)]
    if between:
        return f"{', '.join(between)} would run only while recording"
    if not isinstance(optimizer, SGD) and any("capturable" not in group for group in optimizer.param_groups):
        return f"{type(optimizer).__name__} has no capturable form"
    return None


class StepCapture:
    """One fit's captured step.

    Args:
        work: the whole step for a batch and its index: ``training_step``, zero_grad, backward, clipping, the
            optimizer; returns what ``training_step`` returned and the loss, None without one.
        optimizer: the fit's.
        parameters: the module's.
        results: which the step logs to.
        note_loss: takes the loss of each replay; ``work`` notes its own.
        keeps_outputs: whether somebody gets what ``training_step`` returned.
        graphs: what records.
        give_up: told why, once, when steps go on uncaptured.
    """

    def __init__(
        self,
        work: Callable[[Any, int], tuple[Any, Tensor | None]],
        optimizer: Optimizer,
        parameters: list[Tensor],
        results: Results,
        note_loss: Callable[[Tensor], None],
        keeps_outputs: bool,
        graphs: Graphs,
        give_up: Callable[[str], None],
    ):
        self._work, self._optimizer, self._parameters = work, optimizer, parameters
        self._results, self._note_loss, self._keeps_outputs = results, note_loss, keeps_outputs
        self._graphs, self._give_up = graphs, give_up
        self._rates = _make_capturable(optimizer)
        self._hook = optimizer.register_state_dict_post_hook(self._plain_state)
        self._replay: Callable[[], None] | None = None
        self._logged: list[tuple[Any, ...]] = []
        self._inputs: list[Any] = []
        self._shape: Any = None
        self._warm = self._recordings = 0
        self._settings: list[Any] = []
        self._layout: list[Any] = []
        self._off = False

    def run(self, batch: Any, batch_idx: int) -> tuple[bool, Any]:
        """Do the step for ``batch``, if it is one that is captured or prepares that.

        Args:
            batch: on the device.
            batch_idx: its place in the epoch.

        Returns:
            Whether it was done, and what ``training_step`` returned.
        """
        if self._off:
            return False, None
        leaves, structure = tree_flatten(batch)
        shape = (structure, [_shape_of(leaf) for leaf in leaves])
        if self._shape is None:
            self._shape = shape
        elif shape != self._shape:
            return False, None  # an epoch's last, smaller batch
        self._keep_rates()
        if self._is_stale(batch_idx):
            self._replay, self._warm = None, 0
        if self._warm < WARM_UP:
            self._warm += 1
            output, _ = self._graphs.warm_up(lambda: self._work(batch, batch_idx))
            return True, output
        if self._replay is None and not self._record(batch, leaves, structure, batch_idx):
            return False, None
        return True, self._again(leaves)

    def close(self) -> None:
        """Leave the optimizer as it was."""
        self._replay, self._inputs, self._logged = None, [], []
        self._hook.remove()
        _make_plain(self._optimizer, self._rates)

    # Recording --------------------------------------------------------------------------------------------------

    def _record(self, batch: Any, leaves: list[Any], structure: Any, batch_idx: int) -> bool:
        if self._recordings == MOST_RECORDINGS:
            self._stop("the optimizer's settings or the trained parameters keep changing")
            return False
        self._recordings += 1
        self._inputs = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        static, logged = structure.unflatten(self._inputs), self._logged
        logged.clear()
        results = self._results
        noted = len(results.losses)
        # What is logged while recording has no values yet: note it, and log it after each replay.
        results.log = lambda *given: logged.append(given)  # type: ignore[method-assign]
        try:
            (self._output, self._loss), self._replay = self._graphs.record(lambda: self._work(static, batch_idx))
        except RuntimeError as error:
            self._stop(f"recording failed: {str(error).splitlines()[0]}")
            return False
        finally:
            del results.log, results.losses[noted:], results.loss_steps[noted:]
        self._scope = results.scope
        odd = next((name for name, value, *_ in logged if callable(getattr(value, "update", None))), None)
        if odd is not None:
            self._stop(f"{odd!r} is logged as a metric object, whose state changes outside the graph")
            return False
        self._settings, self._layout = self._present_settings(), self._present_layout()
        return True

    def _again(self, leaves: list[Any]) -> Any:
        assert self._replay is not None
        for static, leaf in zip(self._inputs, leaves, strict=True):
            if isinstance(leaf, Tensor):
                static.copy_(leaf, non_blocking=True)
        self._replay()
        self._results.scope = self._scope
        for given in self._logged:
            self._results.log(*given)  # it keeps a copy of what lies on a device
        if self._loss is not None:
            self._note_loss(self._loss.detach().clone())  # the next replay writes into the same memory
        if not self._keeps_outputs:
            return self._output
        return tree_map(lambda value: value.detach().clone() if isinstance(value, Tensor) else value, self._output)

    def _stop(self, reason: str) -> None:
        self._off = True
        self.close()
        self._give_up(reason)

    # What was recorded for good -----------------------------------------------------------------------------------

    def _is_stale(self, batch_idx: int) -> bool:
        if self._replay is None:
            return False
        if self._settings != self._present_settings():
            return True
        return batch_idx == 0 and self._layout != self._present_layout()

    def _present_settings(self) -> list[Any]:
        free = ("params", "lr", "initial_lr", "max_lr", "min_lr", "swa_lr")
        return [
            [value for key, value in group.items() if key not in free and not isinstance(value, Tensor)]
            for group in self._optimizer.param_groups
        ]

    def _present_layout(self) -> list[Any]:
        return [(parameter.data_ptr(), parameter.requires_grad) for parameter in self._parameters]

    def _keep_rates(self) -> None:
        """Put a rate that somebody set as a number where the graph reads it."""
        for group, (rate, _) in zip(self._optimizer.param_groups, self._rates, strict=False):
            if group["lr"] is not rate:
                rate.fill_(float(group["lr"]))
                group["lr"] = rate
        if len(self._rates) < len(self._optimizer.param_groups):  # a callback added a group
            self._rates, self._replay = _make_capturable(self._optimizer), None

    def _plain_state(self, optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        """The optimizer's ``state_dict`` as it would be without capture: a checkpoint can be taken up anywhere."""
        groups = []
        for group, (_, before) in zip(state["param_groups"], self._rates, strict=False):
            usual = {} if before is None else {"capturable": before}
            groups.append({**group, **usual, "lr": float(group["lr"])})
        own = {key: {name: _on_host(name, value) for name, value in one.items()} for key, one in state["state"].items()}
        return {**state, "state": own, "param_groups": groups}


def _on_host(name: str, value: Any) -> Any:
    return value.cpu() if name == "step" and isinstance(value, Tensor) else value


def _shape_of(leaf: Any) -> Any:
    return (leaf.shape, leaf.dtype, leaf.device) if isinstance(leaf, Tensor) else leaf


def _make_capturable(optimizer: Optimizer) -> list[tuple[Tensor, bool | None]]:
    """Have ``optimizer`` keep on the device what changes from step to step; its rates and what ``capturable`` was."""
    kept = []
    for group in optimizer.param_groups:
        device = next(iter(group["params"])).device
        before = group.get("capturable")
        if before is not None:
            group["capturable"] = True
        if not isinstance(group["lr"], Tensor):
            group["lr"] = torch.tensor(float(group["lr"]), device=device)
        kept.append((group["lr"], before))
        for parameter in group["params"]:
            count = optimizer.state.get(parameter, {}).get("step")
            if isinstance(count, Tensor) and count.device != device:
                optimizer.state[parameter]["step"] = count.to(device)
    return kept


def _make_plain(optimizer: Optimizer, kept: list[tuple[Tensor, bool | None]]) -> None:
    for group, (rate, before) in zip(optimizer.param_groups, kept, strict=False):
        if group["lr"] is rate:
            group["lr"] = float(rate)
        if before is not None:
            group["capturable"] = before
