"""The Jupyter server extension: what the browser side asks, answered from run directories and the machine.

It must not know torch, nor talk to a kernel: a run is read from disk and asked through its inbox.
"""

from lit_studio.extension.app import LitStudioApp

__all__ = ["LitStudioApp"]
