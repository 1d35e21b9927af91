"""Shared by all tests: nothing is read from or written to the user's own state."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def lit_studio_home(tmp_path_factory, monkeypatch):
    """A fresh home for Lit Studio's state in each test."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("LIT_STUDIO_HOME", str(home))
    monkeypatch.delenv("LIT_STUDIO_MODE", raising=False)
    return home
