"""Lightning's `lightning.fabric.utilities.warnings`: kinds of warnings.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.trainer.warning_kinds import PossibleUserWarning, disable_possible_user_warnings

__all__ = [
    "PossibleUserWarning",
    "disable_possible_user_warnings",
]
