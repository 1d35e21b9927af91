"""A rehearsal: the loop runs inside a hook of its own call, unseen, and then everything is as if it hadn't.

It must not know what is tried out, a learning rate, a batch size or anything else.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from lit_studio.loggers import DummyLogger
from lit_studio.trainer.dispatch import Dispatcher
from lit_studio.trainer.module import attach
from lit_studio.trainer.observation import Observation
from lit_studio.trainer.results import Results
from lit_studio.trainer.resume import gather, restore_module, restore_training
from lit_studio.trainer.seed import isolate_rng

if TYPE_CHECKING:
    from lit_studio.callbacks import Callback
    from lit_studio.trainer.evaluation import EvaluationLoop
    from lit_studio.trainer.loop import FitLoop
    from lit_studio.trainer.trainer import Trainer


class Unseen(Observation):
    """Watches on nobody's behalf: no record, no display, no loggers; what was logged is let go, and requests wait."""

    listens = False

    def __init__(self, trainer: Trainer):
        super().__init__(trainer)
        self.due = 0.0

    def open(self, step: int, epoch: int) -> None:
        """Make no record."""

    def close(self, state: Any, error: str = "") -> None:
        """There is nobody to tell."""

    def read(self) -> None:
        """Let go of what was logged."""
        for _ in self._trainer.results.take():
            pass


class Rehearsal:
    """What ``with trainer.rehearsal(…)`` gives; change limits and loops inside at will, they are put back.

    Args:
        trainer: in the middle of a call.
    """

    def __init__(self, trainer: Trainer):
        position = copy.copy(trainer.fit_loop.position)
        # Inside an epoch, a run begins one of its own.
        position.epochs_begun, position.epoch_processed = position.epoch, False
        self._trainer, self._start, self._stage = trainer, position, trainer.state.stage
        self._modes = _modes(trainer)

    @property
    def loop(self) -> FitLoop | EvaluationLoop:
        """The loop of the call that is under way."""
        trainer = self._trainer
        return trainer.fit_loop if trainer.state.fn == "fit" else trainer.evaluation_now

    def run(self) -> None:
        """Run the loop from where the call stands, with the weights as they are; again and again, if wanted.

        Raises:
            Exception: whatever a step raised; another run may follow.
        """
        trainer = self._trainer
        trainer.should_stop = False
        trainer.state.stage = self._stage
        trainer.results.clear()
        trainer.fit_loop.position.take(self._start)
        _set_modes(self._modes)  # a step that failed in validation has left them
        try:
            with torch.set_grad_enabled(trainer.state.fn == "fit"):
                self.loop.run()
        finally:
            trainer.results.batch = None
            trainer.fit_loop.forget()
            for parameter in trainer.lightning_module.parameters():
                parameter.grad = None  # another batch size may need the room

    def reload(self) -> None:
        """Ask for the loaders anew, those of a fit's validation too."""
        trainer = self._trainer
        fitting = trainer.state.fn == "fit"
        trainer.evaluation_now.loaders = None
        if fitting:
            trainer.fit_loop.loaders = None
        self.loop.setup_data()


@contextmanager
def rehearse(trainer: Trainer, callbacks: Sequence[Callback]) -> Iterator[Rehearsal]:
    """Let the present call's loop run inside one of its hooks, and put everything back, after an error too.

    Put back are weights, optimizers, schedulers, the gradient scaler, gradients, modes, where the loops stand, their
    limits and bounds, random numbers, callbacks, loggers, what was logged, and what module and datamodule keep in
    checkpoints. The loaders are asked for anew. Meanwhile the state is kept on the host: the device has its room.

    Args:
        trainer: in the middle of a call.
        callbacks: those that run meanwhile, instead of the Trainer's; the module's own hooks run too.
    """
    module, position = trainer.lightning_module, copy.copy(trainer.fit_loop.position)
    loops = (trainer.validation, trainer.testing_loop, trainer.prediction)
    holders: tuple[Any, ...] = (trainer, trainer.state, trainer.fit_loop, trainer.fit_loop.optimization, *loops)
    kept = [(holder, dict(vars(holder))) for holder in holders]
    modes, gradients = _modes(trainer), [(parameter, parameter.grad) for parameter in module.parameters()]
    with isolate_rng():
        trainer.callbacks = []  # what they keep is not touched
        state = _remember(trainer)
        trainer.callbacks = list(callbacks)
        trainer.loggers = [DummyLogger()] if trainer.loggers else []  # a step may talk to ``self.logger``
        trainer.results, trainer.observation = Results(trainer.fit_loop.position), Unseen(trainer)
        attach(module, trainer)
        trainer.hooks = Dispatcher(trainer, module, trainer.callbacks, trainer.results)
        trainer.fit_loop.loaders = None
        for loop in loops:
            loop.loaders = None
        try:
            yield Rehearsal(trainer)
        finally:
            trainer.results.clear()  # torchmetrics objects among them
            stopped = trainer.stopped_by_person
            trainer.callbacks = []
            _recall(trainer, state)
            for holder, attributes in kept:
                vars(holder).clear()
                vars(holder).update(attributes)
            trainer.fit_loop.position.take(position)
            trainer.stopped_by_person = stopped
            trainer.should_stop = trainer.should_stop or stopped
            attach(module, trainer)
            _set_modes(modes)
            for parameter, gradient in gradients:
                parameter.grad = gradient
            _reload(trainer)


def _modes(trainer: Trainer) -> list[tuple[torch.nn.Module, bool]]:
    return [(part, part.training) for part in trainer.lightning_module.modules()]


def _set_modes(modes: list[tuple[torch.nn.Module, bool]]) -> None:
    for part, training in modes:
        part.training = training


def _remember(trainer: Trainer) -> dict[str, Any]:
    fitting = trainer.state.fn == "fit"
    with torch.inference_mode(False), torch.no_grad():
        checkpoint = gather(trainer, weights_only=not fitting)
        # What a person gave may be anything and large, and training doesn't change it.
        given = {owner.CHECKPOINT_HYPER_PARAMS_KEY for owner in _owners(trainer)}
        return {key: value if key in given else to_host(value) for key, value in checkpoint.items()}


def _recall(trainer: Trainer, state: dict[str, Any]) -> None:
    with torch.inference_mode(False), torch.no_grad():
        restore_module(trainer, state)
        if trainer.state.fn == "fit":
            restore_training(trainer, state)


def _owners(trainer: Trainer) -> list[Any]:
    return [owner for owner in (trainer.lightning_module, trainer.datamodule) if owner is not None]


def _reload(trainer: Trainer) -> None:
    """Ask for those loaders anew that were there."""
    for loop in (trainer.validation, trainer.testing_loop, trainer.prediction):
        if loop.loaders is not None:
            seen, loop.loaders = loop._seen, None
            if trainer.state.fn == "fit" or loop is trainer.evaluation_now:
                loop.setup_data()
            loop._seen = seen
    if trainer.state.fn == "fit" and trainer.fit_loop.loaders is not None:
        trainer.fit_loop.loaders = None
        trainer.fit_loop.setup_data()


def to_host(value: Any) -> Any:
    """A copy of ``value``, its tensors on the host; what can't be copied is the same object."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        made: Any = copy.copy(value)  # a state_dict carries versions as attributes
        for key in value:
            made[key] = to_host(value[key])
        return made
    if type(value) in (list, tuple):
        return type(value)(map(to_host, value))
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - locks, files, modules of C; whatever it is, a rehearsal can do without a copy
        return value
