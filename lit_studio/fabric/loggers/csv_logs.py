"""Lightning's `lightning.fabric.loggers.csv_logs`: the CSV logger.

It must not hold anything of its own: these are other names for what lies in `lit_studio.loggers`.
"""

from lit_studio.loggers.fabrics import FabricCSVLogger as CSVLogger

__all__ = [
    "CSVLogger",
]
