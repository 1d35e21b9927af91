"""Lightning's `lightning.pytorch.callbacks.throughput_monitor`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.throughput_monitor import ThroughputMonitor

__all__ = [
    "ThroughputMonitor",
]
