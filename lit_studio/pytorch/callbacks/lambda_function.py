"""Lightning's `lightning.pytorch.callbacks.lambda_function`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.functional import LambdaCallback

__all__ = [
    "LambdaCallback",
]
