"""Lightning's `lightning.pytorch.utilities.model_summary`: what a model consists of.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.callbacks.summary import ModelSummary

__all__ = [
    "ModelSummary",
]
