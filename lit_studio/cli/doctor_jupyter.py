"""What the doctor asks Jupyter: whether our two extensions are there and enabled.

It must not know how the findings are shown. It asks Jupyter's own configuration, so that what an administrator has
switched off reads as switched off.
"""

from __future__ import annotations

import contextlib
import io
from importlib.util import find_spec
from typing import Literal

Finding = tuple[str, Literal["ok", "note", "failed"], str, str]
NAME = "lit-studio"
MODULE = "lit_studio"
_MEND = "pip install --force-reinstall --no-deps lit-studio"


def labextension_built() -> bool:
    """Whether JupyterLab can find a built labextension of ours."""
    return NAME in _federated()


def _federated() -> dict[str, dict[str, object]]:
    if find_spec("jupyterlab_server") is None:
        return {}
    from jupyter_core.paths import jupyter_path
    from jupyterlab_server.config import get_federated_extensions

    return dict(get_federated_extensions(jupyter_path("labextensions")))


def labextension() -> Finding:
    """Whether the browser side is installed and enabled."""
    found = _federated().get(NAME)
    if found is None:
        return "labextension", "failed", "JupyterLab can't find it", _MEND
    from jupyter_core.paths import jupyter_path
    from jupyterlab_server.config import get_page_config

    with contextlib.redirect_stdout(io.StringIO()):
        page = get_page_config(jupyter_path("labextensions"))
    disabled = page.get("disabledExtensions") or {}
    off = {name for name, is_off in disabled.items() if is_off} if isinstance(disabled, dict) else set(disabled)
    if NAME in off:
        return "labextension", "failed", "switched off", f"jupyter labextension enable {NAME}"
    return "labextension", "ok", f"{found.get('version', '')} enabled", ""


def server_extension() -> Finding:
    """Whether the server side is installed and enabled."""
    if find_spec("jupyter_server") is None or find_spec("lit_studio.extension") is None:
        return "server extension", "failed", "not installed", _MEND
    from jupyter_core.paths import jupyter_config_path
    from jupyter_server.extension.config import ExtensionConfigManager

    configured = ExtensionConfigManager(read_config_path=jupyter_config_path()).get_jpserver_extensions()
    if not configured.get(MODULE):
        state = "switched off" if MODULE in configured else "not switched on"
        return "server extension", "failed", state, f"jupyter server extension enable {MODULE}"
    return "server extension", "ok", "enabled", ""
