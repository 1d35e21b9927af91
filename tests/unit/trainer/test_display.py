"""Where notes go: a terminal's stderr, but not the red one of a notebook."""

from __future__ import annotations

import io
import logging

import pytest

from lit_studio.trainer.display import make_audible


@pytest.fixture
def log(monkeypatch):
    """Our logger as in a program that set up no logging, put back afterwards."""
    logger = logging.getLogger("lit_studio")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logger, "handlers", [])
    make_audible()
    return logger


class NotebookStream(io.StringIO):
    """As a kernel's stream: known by the module of its class."""


NotebookStream.__module__ = "ipykernel.iostream"


@pytest.mark.parametrize(("kind", "where"), [(io.StringIO, "stderr"), (NotebookStream, "stdout")])
def test_notes_follow_the_streams_of_the_moment(log, monkeypatch, kind, where):
    streams = {"stdout": kind(), "stderr": kind()}
    for name, stream in streams.items():
        monkeypatch.setattr(f"sys.{name}", stream)
    log.info("a note")
    assert streams.pop(where).getvalue() == "a note\n"
    assert streams.popitem()[1].getvalue() == ""


def test_a_program_that_set_up_logging_is_left_alone(monkeypatch):
    logger = logging.getLogger("lit_studio")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])
    make_audible()
    assert logger.handlers == []
