"""A small file is replaced whole or stays as it was, and says nothing to others that it shouldn't."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from lit_studio.base.json_files import replace_json
from lit_studio.base.processes import process_alive, process_runs


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_file_is_replaced_and_leaves_no_draft(tmp_path):
    path = tmp_path / "a.json"
    replace_json(path, {"a": 1})
    replace_json(path, {"a": [2, "é"]}, 0o600)
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": [2, "é"]}
    assert names(tmp_path) == ["a.json"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_the_older_file_and_no_draft(tmp_path, monkeypatch, error):
    path = tmp_path / "a.json"
    replace_json(path, 1)

    def fail(*_):
        raise error

    monkeypatch.setattr(type(path), "replace", fail)
    with pytest.raises(type(error)):
        replace_json(path, 2)
    assert (path.read_text(), names(tmp_path)) == ("1", ["a.json"])


def test_a_nan_is_refused_unless_it_is_wanted(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(ValueError, match="JSON compliant"):
        replace_json(path, float("inf"))
    assert names(tmp_path) == []
    replace_json(path, float("inf"), allow_nan=True)
    assert json.loads(path.read_text()) == float("inf")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't tell")
def test_a_process_that_waits_for_its_parent_s_look_lives_but_runs_no_more():
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    assert process_runs(child.pid)
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_alive(child.pid)
    assert not process_runs(child.pid)
    child.wait()
    assert not process_alive(child.pid)
