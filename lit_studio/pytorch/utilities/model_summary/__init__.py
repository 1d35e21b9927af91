"""Lightning's `lightning.pytorch.utilities.model_summary`: what a model consists of.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.callbacks.summary import LayerSummary, ModelSummary, summarize
from lit_studio.callbacks.summary import formatted_size as get_formatted_model_size
from lit_studio.callbacks.summary import human_count as get_human_readable_count
from lit_studio.callbacks.summary import shape_of as parse_batch_shape

__all__ = [
    "LayerSummary",
    "ModelSummary",
    "get_formatted_model_size",
    "get_human_readable_count",
    "parse_batch_shape",
    "summarize",
]

__getattr__ = submodules(__name__, __path__)
