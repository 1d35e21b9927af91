"""Lightning's `lightning.pytorch.utilities.warnings`: kinds of warnings.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.warning_kinds import PossibleUserWarning

__all__ = [
    "PossibleUserWarning",
]
