"""Starting this machine's ranks where nobody else has, and what becomes of them.

It must not know what the ranks compute: it is handed a function that each of them is to call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_studio.trainer.launch.base import Launcher

if TYPE_CHECKING:
    from lit_studio.trainer.strategies.parallel import ParallelStrategy

__all__ = ["Launcher", "make_launcher"]


def make_launcher(strategy: ParallelStrategy) -> Launcher:
    """What starts the ranks of ``strategy`` as its ``start_method`` says; those that are there already just join."""
    from lit_studio.trainer.launch.processes import ProcessLauncher
    from lit_studio.trainer.launch.script import ScriptLauncher
    from lit_studio.trainer.strategies import is_interactive

    method = strategy.start_method
    if method == "popen" or strategy.environment.creates_processes_externally:
        if not (is_interactive() and not strategy.environment.creates_processes_externally):
            return ScriptLauncher(strategy)
        method = "popen in a notebook"
    return ProcessLauncher(strategy, method)
