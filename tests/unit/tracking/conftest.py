"""Shared by the tests of reading runs."""

from __future__ import annotations

import contextlib

import pytest

from tests.unit.tracking.recording import Recording


@pytest.fixture(autouse=True)
def close_recordings():
    """Close what a test left open, as a process that ends would."""
    yield
    while Recording.open:
        with contextlib.suppress(OSError):  # the test may have removed the directory
            Recording.open.pop().recorder.close()
