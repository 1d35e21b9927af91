"""Lightning's `lightning.pytorch.callbacks.device_stats_monitor`: one of the callbacks' modules.

It must not hold anything of its own: these are other names for what lies in `lit_studio.callbacks`.
"""

from lit_studio.callbacks.device_stats_monitor import DeviceStatsMonitor

__all__ = [
    "DeviceStatsMonitor",
]
