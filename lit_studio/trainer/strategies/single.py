"""The strategy for one device.

It must not know the loop, loggers or callbacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_studio.trainer.strategies.base import Strategy

if TYPE_CHECKING:
    from lit_studio.trainer.module import LightningModule
    from lit_studio.trainer.precision import Precision


class SingleDeviceStrategy(Strategy):
    """The whole module on one device of this process."""

    def place(self, module: LightningModule, precision: Precision) -> None:
        """Move the module to the device, its weights in the precision."""
        precision.convert_module(module)
        module.to(self.root_device)
        self.model = module
