"""Lightning's `lightning.pytorch.profilers.profiler`: one of the profilers' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.profilers`.
"""

from lit_studio.profilers import Profiler

__all__ = [
    "Profiler",
]
