"""How far a fit will go.

It must not know how it goes round.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lit_studio.trainer.loop import FitLoop

INFINITE = float("inf")


def estimate_steps(loop: FitLoop, accumulate: int) -> float:
    """Optimizer steps that the whole fit will take; ``inf`` if nothing bounds them, −1 if it can't be known."""
    epochs = loop.max_epochs
    if epochs is None:
        epochs = 1000 if loop.max_steps == -1 else -1
    if epochs == -1 and loop.max_steps == -1:
        return INFINITE
    if loop.max_batches == INFINITE:
        return loop.max_steps  # Lightning's answer, −1 too, where only ``max_epochs`` bounds batches without number
    if epochs == -1:
        return loop.max_steps
    steps = math.ceil(loop.max_batches / accumulate) * max(epochs, 1)
    return min(steps, loop.max_steps) if loop.max_steps != -1 else steps
