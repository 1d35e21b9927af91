"""Lightning's `lightning.pytorch.trainer.states`: where a trainer stands.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.state import RunningStage, TrainerFn, TrainerState, TrainerStatus

__all__ = [
    "RunningStage",
    "TrainerFn",
    "TrainerState",
    "TrainerStatus",
]
