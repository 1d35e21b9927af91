"""A guide is copied into a person's folder, once, and nowhere else."""

from __future__ import annotations

import json

import pytest

from lit_studio.extension.guides import guide_directory

pytest_plugins = ["pytest_jupyter.jupyter_server"]


@pytest.fixture
def guides(tmp_path):
    folder = tmp_path / "guides"
    folder.mkdir()
    (folder / "01-first.ipynb").write_text('{"cells": []}')
    return folder


@pytest.fixture
def jp_server_config(guides):
    return {
        "ServerApp": {"jpserver_extensions": {"lit_studio": True}},
        "LitStudioApp": {"guide_dir": str(guides)},
    }


def ask(directory):
    return {"method": "POST", "body": json.dumps({"directory": directory})}


@pytest.mark.parametrize(("directory", "path"), [("", "01-first.ipynb"), ("a/b", "a/b/01-first.ipynb")])
async def test_a_guide_is_copied(directory, path, fetch, root):
    (root / "a" / "b").mkdir(parents=True)
    assert await fetch("guide/01-first", **ask(directory)) == (200, {"path": path})
    assert (root / path).read_text() == '{"cells": []}'


async def test_what_is_there_is_left_as_it_is(fetch, root):
    (root / "01-first.ipynb").write_text("mine")
    assert await fetch("guide/01-first", **ask("")) == (200, {"path": "01-first.ipynb"})
    assert (root / "01-first.ipynb").read_text() == "mine"


async def test_a_dangling_link_is_not_written_through(fetch, root, tmp_path):
    (root / "01-first.ipynb").symlink_to(tmp_path / "outside.ipynb")
    await fetch("guide/01-first", **ask(""))
    assert not (tmp_path / "outside.ipynb").exists()


@pytest.mark.parametrize("directory", ["..", "a/../..", "link", "missing", "file", "\0", "/etc"])
async def test_no_folder_outside_the_root(directory, fetch, root, tmp_path):
    (root / "link").symlink_to(tmp_path)
    (root / "file").write_text("")
    code, answer = await fetch("guide/01-first", **ask(directory))
    assert code == 404
    assert "no folder" in answer["message"]
    assert not list(tmp_path.glob("*.ipynb"))


@pytest.mark.parametrize("name", ["02-second", "..%2f01-first", "%2e%2e%2fguides%2f01-first", "*"])
async def test_an_unknown_guide_is_answered_with_those_there_are(name, fetch, root):
    code, answer = await fetch(f"guide/{name}", **ask(""))
    assert code == 400
    assert "01-first" in answer["message"]
    assert not list(root.glob("*.ipynb"))


@pytest.mark.parametrize("body", ["", "[]", '{"directory": 3}'])
async def test_a_bad_body_is_answered_with_advice(body, fetch):
    code, answer = await fetch("guide/01-first", method="POST", body=body)
    assert code == 400
    assert "expected" in answer["message"]


def test_the_guides_that_come_with_the_package_are_found():
    assert guide_directory().is_dir()
