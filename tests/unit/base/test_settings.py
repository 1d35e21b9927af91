"""Precedence of settings, and the private directories."""

from __future__ import annotations

import stat

import pytest

from lit_studio.base import settings
from lit_studio.base.errors import InvalidValueError


def test_environment_beats_project_beats_user_beats_default(tmp_path, monkeypatch, lit_studio_home):
    project = tmp_path / "project" / "deep"
    project.mkdir(parents=True)
    assert settings.resolve("mode", project) == settings.Resolved("live", "default")

    user = lit_studio_home / "config" / "config.toml"
    user.parent.mkdir()
    user.write_text('mode = "off"\n')
    assert settings.resolve("mode", project) == settings.Resolved("off", str(user))

    file = tmp_path / "project" / "pyproject.toml"
    file.write_text('[tool.lit-studio]\nmode = "plain"\n')
    assert settings.resolve("mode", project) == settings.Resolved("plain", str(file))

    monkeypatch.setenv("LIT_STUDIO_MODE", "live")
    assert settings.resolve("mode", project).source == "environment variable LIT_STUDIO_MODE"


def test_only_the_nearest_project_counts(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.lit-studio]\nmode = "off"\n')
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert settings.resolve("mode", inner).value == "live"


def test_a_wrong_value_names_where_it_came_from_and_what_is_valid(monkeypatch):
    monkeypatch.setenv("LIT_STUDIO_MODE", "loud")
    with pytest.raises(InvalidValueError, match=r"LIT_STUDIO_MODE.*got 'loud'; expected live or plain or off"):
        settings.resolve("mode")


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool")
    with pytest.raises(InvalidValueError, match=r"pyproject\.toml can't be read as TOML"):
        settings.resolve("mode", tmp_path)


def test_an_unknown_setting_lists_the_known_ones():
    with pytest.raises(InvalidValueError, match="expected mode"):
        settings.resolve("colour")


def test_homes_follow_xdg(monkeypatch, tmp_path):
    monkeypatch.delenv("LIT_STUDIO_HOME")
    for name in ("CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    assert settings.config_home() == tmp_path / "CONFIG" / "lit-studio"
    assert settings.data_home() == tmp_path / "DATA" / "lit-studio"
    assert settings.cache_home() == tmp_path / "CACHE" / "lit-studio"
    assert settings.runtime_home() == tmp_path / "run" / "lit-studio"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert settings.runtime_home() == tmp_path / "DATA" / "lit-studio" / "runtime"


def test_private_directories_are_private_all_the_way_down(tmp_path):
    path = settings.private_directory(tmp_path / "a" / "b" / "c")
    for folder in (path, path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert settings.private_directory(path) == path
