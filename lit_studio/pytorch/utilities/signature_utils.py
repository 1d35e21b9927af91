"""Lightning's `lightning.pytorch.utilities.signature_utils`: arguments of hooks.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.introspection import is_param_in_hook_signature

__all__ = [
    "is_param_in_hook_signature",
]
