"""One side of the loop benchmark, a process that trains as it is told, a line of JSON a request.

It must not know of the other side. It runs in the environment of the library that it trains with.

Use: ``python -m tests.benchmarks.loop_side RESULTS_FD``; requests come on stdin as JSON, see :func:`answer`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import torch

from tests.benchmarks import counting, workload
from tests.benchmarks.networks import NETWORKS
from tests.benchmarks.workload import MLP, Batch, Task

# Nothing but what training needs, in both libraries' own words.
ALL_OFF: dict[str, Any] = {
    "enable_progress_bar": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "logger": False,
}
Loader = Iterable[Batch]


def by_hand(loader: Loader, task: Task = MLP) -> None:
    """The loop by hand as a variant of its own: the control, and what calls are counted against."""
    model, loss_of = task.network(), NETWORKS[task.name].loss
    optimizer = task.optimizer_of(model)
    model.train()
    if task.device != "cpu":
        for batch in loader:
            workload.train_by_hand(task, model, optimizer, batch)
        return
    for inputs, targets in loader:
        loss = loss_of(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def module_of(library: Any, task: Task, logs: bool) -> Any:
    """A LightningModule of ``library`` for ``task``, logging the loss in each step if ``logs``."""
    loss_of = NETWORKS[task.name].loss

    class Module(library.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = task.network()

        def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
            inputs, targets = batch
            loss = loss_of(self.network(inputs), targets)
            if logs:
                self.log("loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return task.optimizer_of(self)

    return Module()


def with_trainer(library: Any, loader: Loader, task: Task, *, logs: bool, csv: bool = False, **options: Any) -> None:
    """Train by the Trainer of ``library``.

    Args:
        library: whose Trainer.
        loader: the batches.
        task: what to train.
        logs: whether the loss is logged in each step.
        csv: whether the logger is one that writes a CSV file, and not the default one, which depends on what else is
            installed.
        options: for the Trainer.
    """
    place = {"accelerator": task.device, "devices": 1, "precision": task.precision}
    with tempfile.TemporaryDirectory() as folder:
        if csv:
            options["logger"] = import_module(f"{library.__name__}.pytorch.loggers").CSVLogger(folder)
        trainer = library.Trainer(max_epochs=1, default_root_dir=folder, **place, **options)
        trainer.fit(module_of(library, task, logs), loader)


def with_fabric(library: Any, loader: Loader, task: Task, *, logs: bool) -> None:
    """Train in a loop of one's own by the Fabric of ``library``."""
    options: dict[str, Any] = {"accelerator": task.device, "devices": 1, "precision": task.precision}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # where a log begins a run
        fabric, loss_of = library.Fabric(**options), NETWORKS[task.name].loss
        fabric.launch()
        network = task.network()
        model, optimizer = fabric.setup(network, task.optimizer_of(network))
        model.train()
        for inputs, targets in loader:
            if task.device != "cpu":
                inputs, targets = fabric.to_device((inputs, targets))
            loss = loss_of(model(inputs), targets)
            if logs:
                fabric.log("loss", loss)
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
        if logs:
            fabric.finish()


def lit_studio() -> Any:
    """Our library."""
    import lit_studio as library

    logging.getLogger("lit_studio").setLevel(logging.WARNING)
    return library


def lightning() -> Any:
    """The peer."""
    import lightning as library

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    return library


VARIANTS: dict[str, Callable[..., None]] = {
    "by hand": by_hand,
    "ours, all off": lambda loader, task=MLP: with_trainer(lit_studio(), loader, task, logs=False, **ALL_OFF),
    "ours, all on": lambda loader, task=MLP: with_trainer(
        lit_studio(), loader, task, logs=True, csv=True, log_every_n_steps=1
    ),
    "ours, default and one log": lambda loader, task=MLP: with_trainer(lit_studio(), loader, task, logs=True),
    "our Fabric, no log": lambda loader, task=MLP: with_fabric(lit_studio(), loader, task, logs=False),
    "our Fabric, one log": lambda loader, task=MLP: with_fabric(lit_studio(), loader, task, logs=True),
    "Lightning, all off": lambda loader, task=MLP: with_trainer(lightning(), loader, task, logs=False, **ALL_OFF),
    "Lightning, default and one log": lambda loader, task=MLP: with_trainer(lightning(), loader, task, logs=True),
    "Lightning, logging every step": lambda loader, task=MLP: with_trainer(
        lightning(), loader, task, logs=True, csv=True, log_every_n_steps=1
    ),
    "Lightning Fabric": lambda loader, task=MLP: with_fabric(lightning(), loader, task, logs=False),
}


def first_steps(library: Any, fits: int) -> list[float]:
    """CPU seconds from nothing to the first ``training_step``, of each fit of this process after the first.

    A module and a Trainer are made and ``fit`` is called, with everything on as it comes.

    Args:
        library: whose; None does it by hand.
        fits: how many, the first included.
    """
    found: list[float] = []
    data = MLP.batches()[:2]
    for _ in range(fits):
        gc.collect()
        began = time.process_time()
        loader = torch.utils.data.DataLoader(data, batch_size=None)  # type: ignore[arg-type, var-annotated]
        if library is None:
            model = MLP.network()
            MLP.optimizer_of(model)
            model.train()
            next(iter(loader))
            found.append(time.process_time() - began)
            continue
        module = module_of(library, MLP, logs=True)
        own = module.training_step

        def step(batch: Batch, batch_idx: int, own: Any = own, began: float = began) -> torch.Tensor:
            if batch_idx == 0:
                found.append(time.process_time() - began)
            return own(batch, batch_idx)

        module.training_step = step
        with tempfile.TemporaryDirectory() as folder:
            library.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=folder).fit(module, loader)
    return found[1:]


def answer(request: dict[str, Any], loops: dict[Task, Callable[[int], None]]) -> Any:
    """What one request asks for.

    Args:
        request: ``{"first_steps": library, "fits": n}``, or ``{"variant": …, "task": {…}, "count": …}``.
        loops: the loops by hand, kept from request to request.
    """
    if "first_steps" in request:
        libraries = {"ours": lit_studio, "Lightning": lightning, "by hand": lambda: None}
        return first_steps(libraries[request["first_steps"]](), request["fits"])
    task = Task(**request["task"])
    train = VARIANTS[request["variant"]]
    if request["count"]:
        counted = counting.CountingLoader(task)
        train(counted, task)
        return counted.counts()
    if task not in loops:
        loops[task] = workload.by_hand(task)
    paired = workload.PairedLoader(loops[task], task)
    train(paired, task)
    return paired.timings()


def main(results: int) -> None:
    """Answer requests until standard input ends."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    loops: dict[Task, Callable[[int], None]] = {}
    with os.fdopen(results, "w", buffering=1) as answers:
        for line in sys.stdin:
            answers.write(json.dumps(answer(json.loads(line), loops)) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
