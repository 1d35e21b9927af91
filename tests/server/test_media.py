"""Pictures and tables over the server: listed, handed out so that nothing of them can run, and by the widget alike."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lit_studio.media.board import Board

pytest_plugins = ["pytest_jupyter.jupyter_server"]


@pytest.fixture
def shown(root, write_run):
    """A run that shows an image at two steps and a table."""
    run = write_run(root / "run", end="finished")
    board = Board(run)
    for step in (1, 2):
        board.image("digits", np.full((4, 6), step / 2), step=step, caption="<b>")
    board.table("rows", [{"x": 1, "y": "<script>"}], step=2)
    return run


async def test_the_list_says_names_kinds_steps_and_sizes(fetch, shown):
    code, answer = await fetch(f"runs/{shown.info.id}/media")
    assert code == 200
    assert [(entry["name"], entry["kind"], len(entry["items"])) for entry in answer["media"]] == [
        ("digits", "image", 2),
        ("rows", "table", 1),
    ]
    images = answer["media"][0]
    assert [item["step"] for item in images["items"]] == [1, 2]
    assert images["bytes"] == sum(item["bytes"] for item in images["items"])
    assert {(item["width"], item["height"], item["caption"]) for item in images["items"]} == {(6, 4, "<b>")}


async def test_an_item_is_handed_out_so_that_it_can_not_run(fetch, request_raw, api, shown):
    _, answer = await fetch(f"runs/{shown.info.id}/media")
    for entry, kind in zip(answer["media"], ("image/png", "application/json"), strict=True):
        item = entry["items"][0]
        response = await request_raw(f"{api}runs/{shown.info.id}/media/{item['id']}")
        assert response.code == 200
        assert response.headers["Content-Type"] == kind
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert "immutable" in response.headers["Cache-Control"]
        assert len(response.body) == item["bytes"]
    assert json.loads(response.body)["rows"] == [[1, "<script>"]]


@pytest.mark.parametrize("item", ["0123456789ab", "..%2f..%2frun.json", "0123456789ab.png", "x"])
async def test_an_item_that_is_not_listed_is_refused(item, fetch, shown):
    code, answer = await fetch(f"runs/{shown.info.id}/media/{item}")
    assert code == 400
    assert "item" in answer["message"]


async def test_a_damaged_item_is_said_to_be(fetch, shown):
    _, answer = await fetch(f"runs/{shown.info.id}/media")
    item = answer["media"][0]["items"][0]["id"]
    (shown.media_folder / f"{item}.png").write_bytes(b"<html>")
    code, answer = await fetch(f"runs/{shown.info.id}/media/{item}")
    assert code == 422
    assert "damaged" in answer["message"]


async def test_a_run_that_shows_nothing_has_an_empty_list(fetch, root, write_run):
    run = write_run(root / "run")
    assert await fetch(f"runs/{run.info.id}/media") == (200, {"media": []})
    assert (await fetch("runs/0123abcd/media"))[0] == 404
