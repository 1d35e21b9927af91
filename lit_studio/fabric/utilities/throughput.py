"""Lightning's `lightning.fabric.utilities.throughput`: how fast a loop goes.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.peak_flops import get_available_flops
from lit_studio.callbacks.throughput import Throughput, measure_flops
from lit_studio.callbacks.throughput_monitor import FabricThroughput as ThroughputMonitor

__all__ = [
    "Throughput",
    "ThroughputMonitor",
    "get_available_flops",
    "measure_flops",
]
