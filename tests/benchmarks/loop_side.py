"""One side of the loop benchmark, a process that trains as it is told, a line of JSON a request.

It must not know of the other side. It runs in the environment of the library that it trains with.

Use: ``python -m tests.benchmarks.loop_side RESULTS_FD``; requests ``{"variant": …, "count": …}`` come on stdin.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch

from tests.benchmarks import workload

# Nothing but what training needs, in both libraries' own words.
ALL_OFF: dict[str, Any] = {
    "enable_progress_bar": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "logger": False,
}


def by_hand(loader: Iterable[workload.Batch]) -> None:
    """The loop by hand as a variant of its own: the control, and what calls are counted against."""
    model = workload.network()
    optimizer = workload.optimizer_of(model)
    model.train()
    for batch in loader:
        loss = workload.loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def with_trainer(library: Any, loader: Iterable[workload.Batch], *, logs: bool, **options: Any) -> None:
    """Train by the Trainer of ``library``, logging the loss in each step if ``logs``."""

    class Tiny(library.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = workload.network()

        def training_step(self, batch: workload.Batch, batch_idx: int) -> torch.Tensor:
            loss = workload.loss_of(self.network, batch)
            if logs:
                self.log("loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return workload.optimizer_of(self)

    with tempfile.TemporaryDirectory() as folder:
        trainer = library.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=folder, **options)
        trainer.fit(Tiny(), loader)


def ours(loader: Iterable[workload.Batch], **options: Any) -> None:
    """Train with Lit Studio."""
    import lit_studio

    with_trainer(lit_studio, loader, **options)


def lightning(loader: Iterable[workload.Batch], **options: Any) -> None:
    """Train with Lightning."""
    import lightning as library

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with_trainer(library, loader, **options)


VARIANTS: dict[str, Callable[[Iterable[workload.Batch]], None]] = {
    "by hand": by_hand,
    "ours, all off": lambda loader: ours(loader, logs=False, **ALL_OFF),
    "ours, all on": lambda loader: ours(loader, logs=True, log_every_n_steps=1),
    "Lightning, all off": lambda loader: lightning(loader, logs=False, **ALL_OFF),
    "Lightning, default and one log": lambda loader: lightning(loader, logs=True),
    "Lightning, logging every step": lambda loader: lightning(loader, logs=True, log_every_n_steps=1),
}


def main(results: int) -> None:
    """Answer requests until standard input ends."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    bare = workload.by_hand()
    with os.fdopen(results, "w", buffering=1) as answers:
        for line in sys.stdin:
            request = json.loads(line)
            train = VARIANTS[request["variant"]]
            if request["count"]:
                counting = workload.CountingLoader()
                train(counting)
                answers.write(json.dumps(counting.counts()) + "\n")
            else:
                paired = workload.PairedLoader(bare)
                train(paired)
                answers.write(json.dumps(paired.timings()) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
