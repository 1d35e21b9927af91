"""The plugin registry: entry points, registrations, and broken plugins."""

from __future__ import annotations

import pytest

from lit_studio.base import registry
from lit_studio.base.errors import InvalidValueError


@pytest.fixture
def plugin():
    registry.register("stores", "mine", dict)
    yield
    registry.unregister("stores", "mine")


def test_registered_factories_are_found(plugin):
    assert registry.get("stores", "mine") is dict
    assert "mine" in registry.names("stores")
    assert registry.load_all("stores")["mine"] is dict


def test_the_notebook_observer_is_an_entry_point():
    assert "notebook" in registry.names("observers")


def test_a_registration_beats_an_entry_point():
    registry.register("observers", "notebook", list)
    try:
        assert registry.get("observers", "notebook") is list
    finally:
        registry.unregister("observers", "notebook")


def test_unknown_names_list_the_known_ones(plugin):
    with pytest.raises(InvalidValueError, match="got 'theirs'; expected mine"):
        registry.get("stores", "theirs")
    with pytest.raises(InvalidValueError, match="expected one of strategies, loggers"):
        registry.names("gadgets")


def test_a_plugin_that_fails_to_import_is_left_out_with_a_warning(monkeypatch):
    class Broken:
        name = "broken"

        def load(self):
            raise SyntaxError("no such luck")

    monkeypatch.setitem(registry._discovered, "profilers", {"broken": Broken()})
    with pytest.warns(UserWarning, match=r"'broken' \(profilers\) could not be loaded: SyntaxError"):
        assert registry.load_all("profilers") == {}
