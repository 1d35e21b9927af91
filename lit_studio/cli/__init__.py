"""The command line: ``lit-studio`` and its commands.

It must not know of torch: whatever needs it runs in another process.
"""

from lit_studio.cli.root import app, main

__all__ = ["app", "main"]
