"""Why a name of Lightning's isn't here or is another thing, and what to do about it.

It must not know where the name was found. What is written down in ``parity.toml`` comes before what is known here.
"""

from __future__ import annotations

import functools
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

from lit_studio.base.old_arguments import OLD_ARGUMENTS

__all__ = ["BUILT_ON_IT", "HARDWARE", "HOSTED", "OLD_ARGUMENTS", "OLD_HOOKS", "differing", "missing"]
_PARITY = Path(__file__).parents[1] / "parity.toml"
_TABLE = "The table lightning-parity in the reference tells what there is."
_REASONS: tuple[tuple[str, str, str], ...] = (
    (r"(^|\.)_", "it is private to Lightning, whose inside isn't here", "Use the public name that does the same."),
    (
        r"^(lightning\.app|lightning_app|lightning_sdk|lightning_cloud|litmodels|litlogger)\b|LitLogger|LitModelCheckpoint",
        "it belongs to a hosted product",
        "Keep it out of the program, or write what it does to disk: a CSVLogger, a ModelCheckpoint.",
    ),
    (
        r"XLA|TPU|\bxla\b|\btpu\b|HPU",
        "TPUs and HPUs are not supported",
        'Train on `accelerator="auto"`: CUDA, MPS or CPU.',
    ),
    (
        r"Comet|Neptune",
        "there is no logger for this hosted service",
        "Use WandbLogger (offline too), MLFlowLogger, TensorBoardLogger or CSVLogger, or write a Logger.",
    ),
    (r"FSDP|DeepSpeed|ModelParallel", "this strategy is not available yet", 'Use `strategy="ddp"` or "auto".'),
    (r"^lightning\.(data|store)\b", "it is another product's", "Import it from that product's own package."),
)
_KEEP = "Keep the outputs in a list of your own and use `{}`, which gets none."
# Hooks that Lightning itself dropped on the way to 2.0: nobody calls them.
OLD_HOOKS = {
    "training_epoch_end": _KEEP.format("on_train_epoch_end"),
    "validation_epoch_end": _KEEP.format("on_validation_epoch_end"),
    "test_epoch_end": _KEEP.format("on_test_epoch_end"),
    "training_step_end": "Do it at the end of `training_step`.",
    "validation_step_end": "Do it at the end of `validation_step`.",
    "test_step_end": "Do it at the end of `test_step`.",
    "on_epoch_start": "Use the hook of the stage, as `on_train_epoch_start`.",
    "on_epoch_end": "Use the hook of the stage, as `on_train_epoch_end`.",
    "on_batch_start": "Use `on_train_batch_start`.",
    "on_batch_end": "Use `on_train_batch_end`.",
    "on_pretrain_routine_start": "Use `on_fit_start`.",
    "on_pretrain_routine_end": "Use `on_fit_start`.",
    "get_progress_bar_dict": "Override `get_metrics` of a progress bar.",
    "tbptt_split_batch": "Cut the sequence up in `training_step`, with manual optimization.",
}
HARDWARE = {"tpu": "TPUs", "xla": "TPUs", "hpu": "HPUs", "ipu": "IPUs"}
# What is built on Lightning's own classes, which ours don't inherit from.
BUILT_ON_IT = ("anomalib", "darts", "flash", "litgpt", "neuralforecast", "pl_bolts", "pytorch_forecasting")
HOSTED = ("lightning_app", "lightning_cloud", "lightning_sdk", "litlogger", "litmodels")


def missing(name: str) -> tuple[str, str]:
    """Why the dotted ``name`` of Lightning's isn't here, and what to do."""
    written = _written("no", name)
    for pattern, reason, advice in _REASONS:
        if re.search(pattern, name):
            return written or reason, advice
    return written or "there is nothing of this name here", _TABLE


def differing(name: str) -> str | None:
    """How what is called by the dotted ``name`` here differs from Lightning's; None if it doesn't."""
    return _written("differs", name)


def _written(kind: str, name: str) -> str | None:
    path = name.removeprefix("lightning.")
    for names, rest, why in _entries(kind):
        if any(_covers(pattern, path) for pattern in (*names, *rest)) or any(
            _lends(pattern, path) for pattern in names
        ):
            return why
    return None


def _covers(pattern: str, path: str) -> bool:
    """Whether an entry for ``pattern`` speaks of ``path``, itself or something in it."""
    return any(fnmatchcase(path, pattern + ending) for ending in ("", ".*", "(*"))


def _lends(pattern: str, path: str) -> bool:
    """Whether ``path`` may be another way to the name at ``pattern``: packages lend what their modules define."""
    family, last = pattern.partition(".")[0], pattern.rpartition(".")[2]
    if not last.strip("*") or family not in (path.partition(".")[0], "*"):
        return False
    return fnmatchcase(path.rpartition(".")[2], last)


@functools.cache
def _entries(kind: str) -> tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...]:
    try:
        written = tomllib.loads(_PARITY.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(
        (tuple(entry.get("names", ())), tuple(entry.get("rest", ())), entry["why"]) for entry in written.get(kind, ())
    )
