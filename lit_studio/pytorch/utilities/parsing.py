"""Lightning's `lightning.pytorch.utilities.parsing`: hyper-parameters.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.hyperparameters import AttributeDict

__all__ = [
    "AttributeDict",
]
