"""Lightning's `lightning.fabric.wrappers`: what `Fabric.setup` returns.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.fabric_faces import FabricDataLoader as _FabricDataLoader
from lit_studio.trainer.fabric_faces import FabricModule as _FabricModule
from lit_studio.trainer.fabric_faces import FabricOptimizer as _FabricOptimizer
from lit_studio.trainer.fabric_faces import is_wrapped

__all__ = [
    "_FabricDataLoader",
    "_FabricModule",
    "_FabricOptimizer",
    "is_wrapped",
]
