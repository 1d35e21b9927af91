"""Lit Studio."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from lit_studio.extension import LitStudioApp

    return [{"module": "lit_studio.extension", "app": LitStudioApp}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "lit-studio"}]
