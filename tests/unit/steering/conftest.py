"""Runs of these tests are written into a folder of their own."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))
