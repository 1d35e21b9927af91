"""The whole at a glance, as the document describes it: a live kernel with its memory, a live run with its curve."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml

import lit_studio.extension
from lit_studio.base.runs import temporary_run_root

pytest_plugins = ["pytest_jupyter.jupyter_server"]

MIB = 1024 * 1024
DOCUMENT = yaml.safe_load(Path(lit_studio.extension.__file__).with_name("openapi.yaml").read_text(encoding="utf-8"))


def check(schema: str, answer: object) -> None:
    """Raises where ``answer`` isn't what the OpenAPI document says."""
    jsonschema.Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"][schema])
    whole = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole).validate(answer)


async def test_info(fetch, monkeypatch):
    code, answer = await fetch("info")
    check("Info", answer)
    assert (code, answer["mode"]) == (200, "live")
    monkeypatch.setenv("LIT_STUDIO_MODE", "plain")
    assert (await fetch("info"))[1]["mode"] == "plain"
    monkeypatch.setenv("LIT_STUDIO_MODE", "loud")
    code, answer = await fetch("info")
    check("Error", answer)
    assert code == 400
    assert "live or plain or off" in answer["message"]


async def test_an_empty_studio_shows_the_machine(fetch):
    code, answer = await fetch("studio")
    assert code == 200
    check("Studio", answer)
    assert answer["kernels"] == answer["runs"] == []
    assert answer["devices"][0]["kind"] == "cpu"
    assert 0 < answer["host"]["memory_used"] < answer["host"]["memory_total"]


async def test_a_live_kernel_is_listed_with_what_it_uses(fetch, jp_fetch, root):
    (root / "work").mkdir()
    session = {"path": "work/train.ipynb", "type": "notebook", "name": "", "kernel": {"name": "python3"}}
    made = json.loads((await jp_fetch("api/sessions", method="POST", body=json.dumps(session))).body)
    kernel_id = made["kernel"]["id"]
    try:
        _, first = await fetch("studio")
        await asyncio.sleep(0.6)  # readings are shared for half a second
        _, second = await fetch("studio")
    finally:
        await jp_fetch("api/sessions", made["id"], method="DELETE")
    check("Studio", second)
    [kernel] = second["kernels"]
    assert (kernel["id"], kernel["path"]) == (kernel_id, "work/train.ipynb")
    assert kernel["state"] in ("starting", "running")
    assert kernel["pid"] == first["kernels"][0]["pid"] != os.getpid()
    assert kernel["memory"] > 10 * MIB
    assert first["kernels"][0]["cpu_percent"] is None
    assert kernel["cpu_percent"] >= 0
    assert (await fetch("studio"))[1]["kernels"] == []


async def test_active_runs_come_first_then_the_newest(fetch, root, write_run, tmp_path):
    active = write_run(root / "old" / "version_0")
    done = [write_run(root / "done" / f"version_{i}", end="finished") for i in range(12)]
    write_run(tmp_path / "outside")
    code, answer = await fetch("studio")
    assert code == 200
    check("Studio", answer)
    assert [run["id"] for run in answer["runs"]] == [active.info.id, *(run.info.id for run in reversed(done[3:]))]
    first = answer["runs"][0]
    assert (first["directory"], first["status"]["state"]) == ("old/version_0", "running")
    assert len(first["sparkline"]) == 40
    assert first["sparkline"] == sorted(first["sparkline"], reverse=True)


async def test_a_run_that_keeps_nothing_is_listed_while_it_is_there(fetch, write_run):
    run = write_run(temporary_run_root())
    _, answer = await fetch("studio")
    assert [each["id"] for each in answer["runs"]] == [run.info.id]
    assert answer["runs"][0]["directory"] == ""
    shutil.rmtree(run.path)
    assert (await fetch("studio"))[1]["runs"] == []


async def test_a_new_run_appears_and_its_status_follows(fetch, root, write_run):
    assert (await fetch("studio"))[1]["runs"] == []
    run = write_run(root / "a")
    assert [each["status"]["state"] for each in (await fetch("studio"))[1]["runs"]] == ["running"]
    write_run(root / "a", end="finished")
    assert [(each["id"], each["status"]["state"]) for each in (await fetch("studio"))[1]["runs"]] == [
        (run.info.id, "finished")
    ]


async def test_a_run_with_a_damaged_status_hides_no_other(fetch, root, write_run):
    good, bad = write_run(root / "good"), write_run(root / "bad")
    bad.status_file.write_text("{")
    assert [run["id"] for run in (await fetch("studio"))[1]["runs"]] == [good.info.id]


async def test_looking_is_no_activity(fetch, jp_serverapp, root, write_run):
    """Otherwise a page that is left open would keep an idle server, and what it costs, from being stopped."""
    run = write_run(root / "run")
    settings = jp_serverapp.web_app.settings
    settings["api_last_activity"] = before = object()
    for path in ("info", "studio", f"runs/{run.info.id}", f"runs/{run.info.id}/packet"):
        assert (await fetch(path))[0] == 200
    assert settings["api_last_activity"] is before
    await fetch(f"runs/{run.info.id}/commands", method="POST", body='{"name": "pause"}')
    assert settings["api_last_activity"] is not before


async def test_answers_are_what_the_document_says(fetch, root, write_run):
    run = write_run(root / "run")
    check("RunDetail", (await fetch(f"runs/{run.info.id}"))[1])
    check("Error", (await fetch("runs/00000000"))[1])
    check("Error", (await fetch(f"runs/{run.info.id}/packet?width=1"))[1])


async def test_the_document_would_notice_a_missing_field(fetch):
    _, answer = await fetch("studio")
    del answer["devices"][0]["name"]
    with pytest.raises(jsonschema.ValidationError):
        check("Studio", answer)
