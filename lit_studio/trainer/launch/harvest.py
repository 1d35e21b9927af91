"""What a Trainer's call has made of its objects on rank 0 of other processes, brought back into the caller's own.

It must not know how processes are started or what is sent how.

What comes back: weights and buffers, in place; the position, bounds and state of the trainer; its metrics; and of
callbacks and loggers everything that is plain data (numbers, text, tensors and collections of those), collections in
place, so that a list of the user's that a callback fills is filled. What refers to other objects stays as it was.
"""

from __future__ import annotations

import enum
import warnings
from pathlib import PurePath
from typing import Any

import torch

from lit_studio.trainer.batches import map_tensors
from lit_studio.trainer.dispatch import overrides

_PLAIN = (str, bytes, int, float, bool, complex, type(None), PurePath, enum.Enum, torch.Tensor, torch.dtype)
_SKIPPED = object()


def gather(trainer: Any, answer: Any) -> dict[str, Any]:
    """On rank 0: all that is to come back; ``answer`` is what the call returned."""
    module, loop, results = trainer.lightning_module, trainer.fit_loop, trainer.results
    return {
        "answer": _on_host(answer),
        "weights": _on_host(dict(module.state_dict())) if module is not None else None,
        "state": trainer.state,
        "flags": {name: getattr(trainer, name) for name in ("should_stop", "stopped_by_person", "aborted")},
        "position": loop.position,
        "bounds": {name: getattr(loop, name) for name in ("max_epochs", "min_epochs", "max_steps", "min_steps")},
        "metrics": {name: dict(getattr(results, name)) for name in _METRICS},
        "callbacks": [_plain_parts(one) for one in trainer.callbacks],
        "loggers": [_plain_parts(one) for one in trainer.loggers],
        "ckpt_path": trainer.ckpt_path if isinstance(trainer.ckpt_path, str | PurePath) else None,
    }


_METRICS = ("values", "callback_metrics", "logged_metrics", "progress_bar_metrics")


def restore(trainer: Any, module: Any, found: dict[str, Any]) -> Any:
    """In the caller's process: put what came back in place; returns the call's answer.

    Args:
        trainer: the caller's.
        module: the module that it was called with.
        found: from :func:`gather`.
    """
    trainer._module = module
    if module is not None:
        module.trainer = trainer
        _restore_weights(module, found["weights"])
    trainer.state = found["state"]
    for owner, values in ((trainer, found["flags"]), (trainer.fit_loop, found["bounds"])):
        for name, value in values.items():
            setattr(owner, name, value)
    trainer.ckpt_path = found["ckpt_path"]
    trainer.fit_loop.position.take(found["position"])
    for name, values in found["metrics"].items():
        metrics: dict[str, Any] = getattr(trainer.results, name)
        metrics.clear()
        metrics.update(values)
    for owners, parts in ((trainer.callbacks, found["callbacks"]), (trainer.loggers, found["loggers"])):
        for owner, part in zip(owners, parts, strict=False):
            _take(owner, part)
    return found["answer"]


def _restore_weights(module: Any, weights: dict[str, Any]) -> None:
    if module.state_dict().keys() != weights.keys() and overrides(module, "configure_model"):
        module.configure_model()  # the ranks did so, and this process has not yet
    with torch.no_grad():
        missing, unexpected = module.load_state_dict(weights, strict=False)
    if missing or unexpected:
        warnings.warn(
            f"The trained module has other weights than the one in this process, so not all came back: "
            f"{sorted([*missing, *unexpected])}",
            stacklevel=2,
        )


def _plain_parts(owner: Any) -> dict[str, Any]:
    found = {name: _plain(value) for name, value in getattr(owner, "__dict__", {}).items()}
    return {name: value for name, value in found.items() if value is not _SKIPPED}


def _plain(value: Any) -> Any:
    """``value`` on the host if it is plain data throughout, else :data:`_SKIPPED`."""
    if isinstance(value, _PLAIN):
        return _on_host(value)
    if type(value) is dict:
        items = {key: _plain(item) for key, item in value.items()}
        good = all(isinstance(key, str | int | float | tuple) for key in items)
        return items if good and not any(item is _SKIPPED for item in items.values()) else _SKIPPED
    if type(value) in (list, tuple, set):
        parts = [_plain(item) for item in value]
        return type(value)(parts) if not any(part is _SKIPPED for part in parts) else _SKIPPED
    return _SKIPPED


def _on_host(value: Any) -> Any:
    return map_tensors(value, lambda tensor: tensor.detach().cpu().clone())


def _take(owner: Any, parts: dict[str, Any]) -> None:
    for name, value in parts.items():
        held: Any = owner.__dict__.get(name)
        if type(held) is type(value) and isinstance(value, list):
            held[:] = value
        elif type(held) is type(value) and isinstance(value, dict | set):
            held.clear()
            held.update(value)
        else:
            owner.__dict__[name] = value
