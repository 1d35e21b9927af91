"""Callbacks: they steer a run through hooks.

It must not know the loop's inside, nor which observers watch.
"""

from lit_studio.trainer.callbacks.base import Callback

__all__ = ["Callback"]
