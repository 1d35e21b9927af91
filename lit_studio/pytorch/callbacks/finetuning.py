"""Lightning's `lightning.pytorch.callbacks.finetuning`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.finetuning import BackboneFinetuning, BaseFinetuning

__all__ = [
    "BackboneFinetuning",
    "BaseFinetuning",
]
