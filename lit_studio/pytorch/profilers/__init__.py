"""Lightning's `lightning.pytorch.profilers`: profilers.

It must not hold anything of its own: these are other names for what lies in `lit_studio.profilers`.
"""

from lit_studio.base.lazy import submodules
from lit_studio.profilers import (
    AdvancedProfiler,
    PassThroughProfiler,
    Profiler,
    PyTorchProfiler,
    SimpleProfiler,
)

__all__ = [
    "AdvancedProfiler",
    "PassThroughProfiler",
    "Profiler",
    "PyTorchProfiler",
    "SimpleProfiler",
]

__getattr__ = submodules(__name__, __path__)
