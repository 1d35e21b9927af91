"""One training step: forward, backward, clipping, the optimizer, the schedulers.

It must not know epochs, loaders, validation or the record: the loop hands it a batch and says what the batch is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from lit_studio.base.errors import MisconfigurationException
from lit_studio.trainer.capture import captured
from lit_studio.trainer.dispatch import accepts, overrides
from lit_studio.trainer.optimization import Optimization, clip
from lit_studio.trainer.stretch import UsualStep, detached

if TYPE_CHECKING:
    from lit_studio.trainer.state import Position
    from lit_studio.trainer.trainer import Trainer


class TrainingStep:
    """Everything a step needs, found once for a fit, so that a step looks nothing up.

    Args:
        trainer: with module, hooks and precision ready.
        optimization: the fit's optimizers and schedulers.
        position: moved by each optimizer and scheduler step.
    """

    def __init__(self, trainer: Trainer, optimization: Optimization, position: Position):
        module, find, profiled = trainer.lightning_module, trainer.hooks.find, trainer.profiled
        self._trainer, self._module, self._position = trainer, module, position
        self._results, self._precision = trainer.results, trainer.precision_plugin
        self._scope = self._results.scope_of("training_step")
        self._on_zero_grad, self._on_step = find("on_before_zero_grad"), find("on_before_optimizer_step")
        self._on_backward, self._on_after_backward = find("on_before_backward"), find("on_after_backward")
        self._step = profiled("training_step", trainer.strategy.step(module, "training_step"))
        self._takes_index = accepts(module.training_step, "batch_idx", 2)
        self.automatic = module.automatic_optimization
        self.forward_only = False
        own_backward = overrides(module, "backward") or trainer.profiles
        self._backward = profiled("backward", module.backward) if own_backward else None
        self._update = profiled("optimizer_step", self._step_plainly)
        self._own_clipping = overrides(module, "configure_gradient_clipping")
        self._own_step = overrides(module, "optimizer_step")
        self._own_zero_grad = overrides(module, "optimizer_zero_grad")
        self._scaler = self._precision.scaler
        self._blocks = trainer.strategy.synchronizes_backward
        self._optimization = optimization
        optimizers = optimization.optimizers
        self._optimizer = optimizers[0] if optimizers and self.automatic else None
        self._plain = self._optimizer is not None and not self._own_step and steps_plainly(self._optimizer)
        hooked = (self._on_zero_grad, self._on_backward, self._on_after_backward, self._on_step, self._backward)
        special = self._own_zero_grad or self._blocks or self._scaler is not None
        usual = self._plain and not special and all(hook is None for hook in hooked)
        self._usual = self._optimizer if usual else None
        self._clip_val, self._clip_algorithm = trainer.gradient_clip_val, trainer.gradient_clip_algorithm
        self._clips = self.automatic and (self._own_clipping or bool(self._clip_val))
        self._batch_idx, self._divisor, self._first = 0, 1, True
        self._outputs: Any = None
        self._warned = self._closed = False
        wanted = trainer.plan.capture_step
        self._capture = captured(trainer, self._whole, self._optimizer, self._results.note_loss) if wanted else None

    def run(self, batch: Any, batch_idx: int, accumulate: int, stepping: bool) -> None:
        """Train on ``batch``.

        Args:
            batch: on the device.
            batch_idx: its place in the epoch.
            accumulate: micro-batches of one optimizer step.
            stepping: whether this is the last of them.
        """
        self._results.batch, self._outputs = batch, None  # the last step's are free before this one's are made
        if self._capture is not None:
            done, self._outputs = self._capture.run(batch, batch_idx)
            if done:
                self._position.optimizer_steps += 1
                return
        if self.automatic and not self.forward_only:
            self._run_automatic(batch_idx, accumulate, stepping)
        else:
            self._outputs = self._forward(batch, batch_idx)
            if not self.automatic:
                self._outputs = detached(self._outputs)

    @property
    def usual(self) -> UsualStep | None:
        """What a stretch of steps runs; None where a step is more than that."""
        if self._usual is None or self._capture is not None or self.forward_only:
            return None
        step: Callable[..., Any] = self._step
        forward = step if self._takes_index else lambda batch, _: step(batch)
        if self._precision.active:
            forward = self._forward
        return UsualStep(forward, self._scope, self._usual, self._loss_of, self._before_step if self._clips else None)

    def _whole(self, batch: Any, batch_idx: int) -> tuple[Any, Tensor | None]:
        """A step without anything in it that must run in Python each time."""
        assert self._optimizer is not None
        output = self._forward(batch, batch_idx)
        loss = self._take_loss(output)
        self._optimizer.zero_grad()
        if loss is not None:
            loss.backward()  # type: ignore[no-untyped-call]
        if self._clips:
            self._before_step(self._optimizer)
        self._optimizer.step()
        return output, loss

    def _run_automatic(self, batch_idx: int, accumulate: int, stepping: bool) -> None:
        self._batch_idx = batch_idx
        self._divisor, self._first = accumulate, accumulate == 1 or batch_idx % accumulate == 0
        optimizer = self._optimizer
        if optimizer is None:
            self._forward_backward()
            self._position.optimizer_steps += stepping
            return
        if not stepping:
            if self._blocks and not stepping:
                with self._trainer.strategy.block_backward_sync():
                    self._forward_backward()
            else:
                self._forward_backward()
            return
        if self._plain:
            loss = self._forward_backward()
            self._update(optimizer, skip=loss is None)
        elif self._own_step:
            face = self._optimization.faces()
            self._results.scope = self._results.scope_of("optimizer_step")
            self._closed = False
            self._module.optimizer_step(self._position.epoch, batch_idx, face, self._closure)
            if not self._closed:
                raise MisconfigurationException(
                    "The closure hasn't been executed: `optimizer_step` must call it, or hand it on to "
                    "`optimizer.step(closure=optimizer_closure)`",
                )
        else:
            self._step_with_closure(optimizer, self._closure, {})
        self._position.optimizer_steps += 1

    # Forward and backward ---------------------------------------------------------------------------------------

    def _forward(self, batch: Any, batch_idx: int) -> Any:
        self._results.scope = self._scope
        arguments = (batch, batch_idx) if self._takes_index else (batch,)
        if not self._precision.active:
            return self._step(*arguments)
        with self._precision.forward_context():
            return self._step(*arguments)

    def _forward_backward(self) -> Tensor | None:
        """``training_step``, zero the gradients, backward; also the closure that some optimizers call again."""
        self._outputs = self._forward(self._results.batch, self._batch_idx)
        loss = self._take_loss(self._outputs)
        optimizer = self._optimizer
        if optimizer is None:  # ``configure_optimizers`` returned None: whoever wants the gradients finds them
            if loss is not None and loss.requires_grad:
                self.backward(loss if self._divisor == 1 else loss / self._divisor)
            return loss
        if self._first:
            if self._on_zero_grad is not None:
                self._on_zero_grad(optimizer)
            if self._own_zero_grad:
                self._module.optimizer_zero_grad(self._position.epoch, self._batch_idx, optimizer)
            else:
                optimizer.zero_grad()
        if loss is not None:
            self.backward(loss if self._divisor == 1 else loss / self._divisor)
        return loss

    def _closure(self) -> Tensor | None:
        self._closed = True
        with torch.enable_grad():  # some optimizers' ``step`` runs without, and calls this
            return self._forward_backward()

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """``loss.backward()`` with scaling and hooks."""
        if self._scaler is not None:
            loss = self._precision.scale(loss)
        if self._on_backward is not None:
            self._on_backward(loss)
        if self._backward is not None:
            self._backward(loss, *args, **kwargs)
        else:
            loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]
        if self._on_after_backward is not None:
            self._on_after_backward()

    def _take_loss(self, output: Any) -> Tensor | None:
        loss = self._loss_of(output)
        if loss is not None:
            self._results.note_loss(loss)
        return loss

    def _loss_of(self, output: Any) -> Tensor | None:
        loss = output
        if not isinstance(output, Tensor):
            if output is None:
                self._warn_no_loss()
                return None
            if not isinstance(output, Mapping):
                raise MisconfigurationException(
                    "In automatic optimization, `training_step` must return a Tensor, a dict, or None (where the step "
                    "will be skipped)",
                    value=output,
                )
            loss = output.get("loss")
            if not isinstance(loss, Tensor):
                raise MisconfigurationException(
                    "In automatic_optimization, when `training_step` returns a dict, the 'loss' key needs to be "
                    "present",
                    value=loss,
                    valid="a Tensor",
                )
        return loss

    def _warn_no_loss(self) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                "`training_step` returned `None`. If this was on purpose, ignore this warning...", stacklevel=2
            )

    def forget(self) -> None:
        """Let go of what the last ``training_step`` returned."""
        self._outputs = None
        if self._capture is not None:
            self._capture.close()

    def take_outputs(self) -> Any:
        """What the hooks at a batch's end get: a mapping, detached, with the loss if there is one."""
        outputs, self._outputs = detached(self._outputs), None
        if self._divisor != 1 and "loss" in outputs and self.automatic:
            outputs["loss"] = outputs["loss"] / self._divisor  # the part of it that was differentiated
        return outputs

    # The optimizer ----------------------------------------------------------------------------------------------

    def _before_step(self, optimizer: Optimizer) -> None:
        if self._on_step is not None:
            self._on_step(optimizer)
        if self._clips:
            if self._own_clipping:
                self._module.configure_gradient_clipping(
                    optimizer, gradient_clip_val=self._clip_val, gradient_clip_algorithm=self._clip_algorithm
                )
            else:
                clip(optimizer, self._clip_val, self._clip_algorithm)

    def _step_plainly(self, optimizer: Optimizer, skip: bool) -> None:
        if self._scaler is None:
            if self._on_step is not None or self._clips:
                self._before_step(optimizer)
            optimizer.step()
        elif not skip:  # without a loss there are no gradients that the scaler could look at
            self._precision.unscale(optimizer)
            self._before_step(optimizer)
            self._precision.step(optimizer)

    def _step_with_closure(self, optimizer: Optimizer, closure: Callable[[], Any], kwargs: dict[str, Any]) -> Any:
        if self._scaler is not None:
            answer = closure()
            self._step_plainly(optimizer, skip=answer is None and self.automatic)
            return answer

        def whole() -> Any:
            value = closure()
            self._before_step(optimizer)
            return value

        return optimizer.step(closure=whole, **kwargs)

    def step_optimizer(self, optimizer: Optimizer, closure: Callable[[], Any] | None, kwargs: dict[str, Any]) -> Any:
        """A step that a ``LightningOptimizer`` was asked for; counted here in manual optimization."""
        answer = None
        if closure is not None:
            answer = self._step_with_closure(optimizer, closure, kwargs)
        elif self._scaler is None and kwargs:
            self._before_step(optimizer)
            answer = optimizer.step(**kwargs)
        else:
            self._step_plainly(optimizer, skip=False)
        if not self.automatic:
            self._position.optimizer_steps += 1
        return answer


def steps_plainly(optimizer: Optimizer) -> bool:
    """Whether ``optimizer`` does with a closure just what it does after one: true of torch's own, but for LBFGS."""
    return type(optimizer).__module__.startswith("torch.optim") and not isinstance(optimizer, LBFGS)
