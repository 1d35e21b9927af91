"""Lightning's `lightning.pytorch.callbacks`: callbacks.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.callbacks import *
from lit_studio.callbacks import __all__ as __all__

__getattr__ = submodules(__name__, __path__)
