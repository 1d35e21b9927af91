"""Lightning's `lightning.pytorch.callbacks.prediction_writer`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.prediction_writer import BasePredictionWriter, WriteInterval

__all__ = [
    "BasePredictionWriter",
    "WriteInterval",
]
