"""Lightning's `lightning.pytorch.callbacks.stochastic_weight_avg`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.stochastic_weight_avg import StochasticWeightAveraging

__all__ = [
    "StochasticWeightAveraging",
]
