"""Lightning's `lightning.pytorch.callbacks.rich_model_summary`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.model_summary import RichModelSummary

__all__ = [
    "RichModelSummary",
]
