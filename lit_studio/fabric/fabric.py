"""Fabric: a loop of one's own, on any device and in any precision, with the Trainer's live view and record.

It must not know the loop: its parts are told what happens. ``setting_up.py`` takes in models, optimizers and loaders,
``ranks.py`` knows devices and ranks, ``checkpoints.py`` saves, ``watching.py`` logs.
"""

from __future__ import annotations

import weakref
from typing import Any

from lit_studio.fabric.checkpoints import FabricCheckpoints
from lit_studio.fabric.run import FabricRun
from lit_studio.fabric.setting_up import FabricSetup
from lit_studio.fabric.watching import listed, listed_loggers
from lit_studio.trainer.accelerators import Accelerator
from lit_studio.trainer.strategies import Strategy


class Fabric(FabricSetup, FabricCheckpoints):
    """A plain PyTorch loop that is seen, saved and steered, by five lines.

    For instance::

        fabric = L.Fabric()
        model, optimizer = fabric.setup(model, optimizer)
        loader = fabric.setup_dataloaders(loader)
        ...
        fabric.backward(loss)  # in the place of loss.backward()
        fabric.log("loss", loss)

    The first ``log`` opens a run in ``lightning_logs/version_N`` with the live view. It ends with :meth:`finish` or the
    ``with fabric:`` block, with a launched function, with the notebook's cell, or else with the program; a value that
    is logged later opens it again. A person's Pause and learning rate take effect at an optimizer's step; Stop sets
    ``should_stop``, at which a loop may look.

    Args:
        accelerator, strategy, devices, num_nodes, precision, plugins: as for the Trainer, with its errors.
        callbacks: objects with any methods, for :meth:`call`.
        loggers: one or several; the first one's directory is the run's.
    """

    def __init__(
        self,
        *,
        accelerator: str | Accelerator = "auto",
        strategy: str | Strategy = "auto",
        devices: list[int] | str | int = "auto",
        num_nodes: int = 1,
        precision: Any = None,
        plugins: Any = None,
        callbacks: Any = None,
        loggers: Any = None,
    ):
        super().__init__(accelerator, strategy, devices, num_nodes, precision, plugins)
        self._callbacks = listed(callbacks)
        device = self.accelerator.describe(self.device)
        self._run = FabricRun(listed_loggers(loggers), device, self.is_global_zero)
        weakref.finalize(self, self._run.lapse)
