"""A run in words: how it ended, how long it took, and its numbers with the ones that matter first.

It must not know where the words are shown; it needs only a run's status.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lit_studio.base.runs import RunStatus

_HIGHER = re.compile(r"acc|auc|auroc|f1|iou|dice|precision|recall|score|r2|map\b|bleu|rouge|reward|return")
_LOWER = re.compile(r"loss|err|perplexity|ppl|mse|mae|mape|wer|cer|bpb|nll")
_ACCURACY = re.compile(r"(^|[_/.-])acc(uracy)?($|[_/.-])")
_SIDES = ("test", "val", "valid", "validation", "train")
_DOING = {
    "train": "training",
    "sanity_check": "training",
    "validate": "validation",
    "test": "test",
    "predict": "prediction",
}


def goal(name: str) -> str | None:
    """``"max"`` or ``"min"``: what is better for the metric ``name``; None where its name doesn't say."""
    lower = name.lower()
    if _HIGHER.search(lower):
        return "max"
    return "min" if _LOWER.search(lower) else None


def ordered(metrics: dict[str, float | str], headline: Iterable[str] = ()) -> dict[str, float | str]:
    """``metrics`` with accuracies first, then other goals; test before validation before training.

    Parts of a metric that was logged by step *and* by epoch (``a_step``) are left out where ``a`` or ``a_epoch``
    tells the same, and so is the ``epoch`` that loggers add to each record.
    """
    first = set(headline)

    def rank(name: str) -> tuple[int, int, bool]:
        lower = name.lower()
        sides = (i for i, side in enumerate(_SIDES) if re.search(rf"(^|[_/]){side}($|[_/])", lower))
        aim = goal(name)
        kind = 0 if _ACCURACY.search(lower) else 1 if aim == "max" else 2 if aim == "min" else 3
        return kind, min(sides, default=len(_SIDES)), name not in first

    kept = [name for name in metrics if name != "epoch" and not _repeats(name, metrics)]
    return {name: metrics[name] for name in sorted(kept, key=rank)}


def _repeats(name: str, metrics: dict[str, float | str]) -> bool:
    if name.endswith("_step"):
        stem = name.removesuffix("_step")
        return stem in metrics or f"{stem}_epoch" in metrics
    return name.endswith("_epoch") and name.removesuffix("_epoch") in metrics


def number(value: float | str) -> str:
    """A metric's value in at most four significant digits; ``nan`` and ``inf`` as they are."""
    if isinstance(value, str):
        return value
    size = abs(value)
    if size >= 1e5 or 0 < size < 1e-4:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    if value == int(value) and size >= 10:
        return f"{int(value):,}"
    return f"{value:.4g}"


def metric(name: str, value: float | str) -> str:
    """The value of metric ``name``: accuracies between 0 and 1 in percent, everything else as :func:`number`."""
    if _ACCURACY.search(name.lower()) and not isinstance(value, str) and 0 <= value <= 1:
        return f"{100 * value:.1f} %"
    return number(value)


def duration(seconds: float) -> str:
    """``850 ms``, ``4.1 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def amount(n: int, one: str, many: str) -> str:
    """``1 step``, ``1,240 steps``."""
    return f"{n:,} {one if n == 1 else many}"


def is_evaluation(status: RunStatus) -> bool:
    """Whether the run's last stage was a validation, a test or a prediction by itself, not the one inside a fit."""
    return status.stage in ("test", "predict") or (status.stage == "validate" and status.step == 0)


def doing(status: RunStatus) -> str:
    """What runs and in which state, for instance ``training finished``."""
    state = {"lost": "lost: its process is gone", "created": "about to start"}.get(status.state, status.state)
    return f"{_DOING.get(status.stage, status.stage)} {state}"


def extent(status: RunStatus, evaluation: bool | None = None) -> str:
    """How much was done and how long it took, for instance ``20 epochs, 900 steps in 31 s``."""
    parts = []
    if is_evaluation(status) if evaluation is None else evaluation:
        if status.batch:
            parts.append(amount(status.batch, "batch", "batches"))
    else:
        if status.max_epochs:
            whole = status.state == "finished"
            begun = min(status.epoch + 1, status.max_epochs)
            parts.append(amount(begun, "epoch", "epochs") if whole else f"epoch {begun} of {status.max_epochs:,}")
        parts.append(amount(status.step, "step", "steps"))
    seconds = status.active or max(0.0, status.updated - status.started)
    return " ".join([", ".join(parts), "in", duration(seconds)]).strip()


def summary(name: str, status: RunStatus, evaluation: bool | None = None, most: int = 5) -> str:
    """One or two plain lines: what happened to the run ``name``, and its main numbers."""
    how_much = extent(status, evaluation)
    first = f"{name}: {doing(status)}{' ' if how_much.startswith('in ') else ', '}{how_much}"
    if status.error:
        return f"{first}\n{' '.join(status.error.split())[:300]}"
    metrics = list(ordered(status.metrics, status.headline).items())[:most]
    if not metrics:
        return first
    return f"{first}\n{' · '.join(f'{key} {metric(key, value)}' for key, value in metrics)}"


def progress(name: str, status: RunStatus, most: int = 3) -> str:
    """One line on a run that goes on: where it stands, how fast, how long still, its headline numbers."""
    parts = [f"{name}: {doing(status)}"]
    if is_evaluation(status):
        parts.append(f"batch {_of(status.batch, status.batches)}")
    else:
        if status.max_epochs:
            parts.append(f"epoch {min(status.epoch + 1, status.max_epochs):,} of {status.max_epochs:,}")
        parts.append(f"step {_of(status.step, status.planned_steps)}")
    if status.rate > 0:
        parts.append(f"{number(float(f'{status.rate:.3g}'))}/s")
    if status.eta is not None and status.state == "running":
        parts.append(f"{duration(max(1.0, status.eta))} left")
    shown = list(ordered(status.headline).items())[:most]
    return " · ".join(parts + [f"{key} {metric(key, value)}" for key, value in shown])


def _of(done: int, planned: int | None) -> str:
    return f"{done:,}" if planned is None else f"{done:,} of {planned:,}"
