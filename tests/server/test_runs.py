"""Runs over the server: found only where it may look, told as they are on disk, asked only while they are active."""

from __future__ import annotations

import json
import shutil

import pytest

from lit_studio.base.runs import Inbox, RunDirectory, temporary_run_root
from lit_studio.tracking import RunReader

pytest_plugins = ["pytest_jupyter.jupyter_server"]


async def test_a_run_is_described(fetch, root, write_run):
    run = write_run(root / "work" / "lightning_logs" / "version_0")
    for query in ("", "?directory=work/lightning_logs/version_0", "?directory=moved/away"):
        code, answer = await fetch(f"runs/{run.info.id}{query}")
        assert code == 200
        assert answer == {
            "id": run.info.id,
            "name": "version_0",
            "directory": "work/lightning_logs/version_0",
            "notebook": "",
            "created": run.info.created,
            "packages": {"torch": "2.13.0"},
            "status": run.status().to_json(),
        }


async def test_a_copied_run_is_found_where_the_hint_says(fetch, root, write_run, tmp_path):
    run = write_run(tmp_path / "elsewhere", end="finished")
    shutil.copytree(tmp_path / "elsewhere", root / "copy")
    code, _ = await fetch(f"runs/{run.info.id}")
    assert code == 404
    code, answer = await fetch(f"runs/{run.info.id}?directory=copy")
    assert (code, answer["directory"]) == (200, "copy")


async def test_a_run_that_keeps_nothing_is_found_by_its_id(fetch, write_run):
    run = write_run(temporary_run_root())
    code, answer = await fetch(f"runs/{run.info.id}")
    assert (code, answer["directory"]) == (200, "")


@pytest.mark.parametrize("route", ["runs/{}", "runs/{}/packet", "runs/{}/media", "runs/{}/commands"])
async def test_nothing_outside_the_root_is_found(route, fetch, root, write_run, tmp_path):
    outside = write_run(tmp_path / "outside" / "version_0")
    inside = write_run(root / "inside")
    (root / "link").symlink_to(tmp_path / "outside" / "version_0")
    half = root / "half"
    half.mkdir()
    (half / "studio").symlink_to(outside.record)
    leaf = root / "leaf"
    shutil.copytree(outside.path, leaf)
    (leaf / "studio" / "metrics.log").unlink()
    (leaf / "studio" / "metrics.log").symlink_to(outside.metrics_log)
    (root / "loop").symlink_to(root / "loop")
    post = {"method": "POST", "body": '{"name": "pause"}'} if route.endswith("commands") else {}

    hints = ["", "..", "../outside/version_0", f"{outside.path}", f"/{outside.path}", "link", "half", "leaf", "loop"]
    hints += ["inside/../../outside/version_0", "%00", "a" * 5000, "inside"]
    answers = {}
    for hint in hints:
        code, answer = await fetch(f"{route.format(outside.info.id)}?directory={hint}", **post)
        answers[hint] = (code, json.dumps(answer) if code != 200 else answer)
    assert {code for code, _ in answers.values()} == {404}
    assert len({text for _, text in answers.values()}) == 1, "all as if the run were unknown"
    assert "No run has this id" in answers[""][1]
    assert not list(outside.inbox.glob("*")) if outside.inbox.exists() else True
    code, _ = await fetch(f"{route.format(inside.info.id)}?directory=inside", **post)
    assert code in (200, 202), "the id at the hint is right here"


@pytest.mark.parametrize("run_id", ["0123abcd", "0123", "zzzzzzzz", "..", "%2e%2e", "0123abcd%2f.."])
async def test_what_is_no_known_id_is_not_found(run_id, fetch, root, write_run):
    write_run(root / "run")
    code, answer = await fetch(f"runs/{run_id}/packet")
    assert code == 404
    if run_id != "..":  # which the client itself makes another address of
        assert answer["reason"] == "Not Found"


async def test_the_beginning_of_an_id_is_not_enough(fetch, root, write_run):
    run = write_run(root / "run")
    assert (await fetch(f"runs/{run.info.id[:4]}"))[0] == 404


async def test_a_damaged_record_is_said_to_be(fetch, root, write_run):
    run = write_run(root / "run")
    run.status_file.write_text("{")
    code, answer = await fetch(f"runs/{run.info.id}")
    assert code == 422
    assert "can't be read" in answer["message"]
    assert answer["advice"]


@pytest.mark.parametrize("query", ["", "width=64", "axis=epoch&events=1", "width=64&x0=10&x1=20.5", "have=0:1:40"])
async def test_a_packet_is_what_the_reader_says(query, request_raw, api, root, write_run):
    run = write_run(root / "run", end="finished", steps=5000)
    response = await request_raw(f"{api}runs/{run.info.id}/packet?{query}")
    numbers = {"width": int, "events": int, "x0": float, "x1": float}
    pairs = [part.split("=") for part in query.split("&") if part]
    asked = {name: numbers.get(name, str)(value) for name, value in pairs}
    assert response.body == RunReader(run).packet(**asked)
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Cache-Control"] == "no-store"


async def test_a_packet_follows_the_run(fetch, root, write_run):
    from lit_studio.base.events import MetricsLogged, Points
    from lit_studio.base.runs import RunRecorder

    run = write_run(root / "run")
    _, before = await fetch(f"runs/{run.info.id}/packet")
    recorder = RunRecorder(run)
    recorder.observe(MetricsLogged(1.8e9, 1, (Points("loss", [100], [0.5]),)))
    _, after = await fetch(f"runs/{run.info.id}/packet")
    recorder._metrics.close(), recorder._events.close()
    assert before != after
    assert after == RunReader(run).packet()


async def test_a_run_that_was_removed_or_replaced_is_not_found(fetch, root, write_run):
    run = write_run(root / "run")
    assert (await fetch(f"runs/{run.info.id}/packet"))[0] == 200
    shutil.rmtree(root / "run")
    assert (await fetch(f"runs/{run.info.id}/packet?directory=run"))[0] == 404
    other = write_run(root / "run")
    assert (await fetch(f"runs/{run.info.id}/packet?directory=run"))[0] == 404
    assert (await fetch(f"runs/{other.info.id}/packet?directory=run"))[0] == 200


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("width=1", "64 to 8192"),
        ("width=wide", "whole number"),
        ("width=-64", "whole number"),
        ("axis=wall", "step, epoch, time, active, samples"),
        ("have=all", "id:stride:buckets"),
        ("x0=1", "both x0 and x1"),
        ("x0=nan&x1=1", "finite"),
        ("x0=a&x1=b", "number"),
    ],
)
async def test_a_bad_packet_question_says_what_would_be_valid(query, said, fetch, root, write_run):
    run = write_run(root / "run")
    code, answer = await fetch(f"runs/{run.info.id}/packet?{query}")
    assert code == 400
    assert said in answer["message"]
    assert answer["reason"] == "Bad Request"


async def test_a_command_lies_in_the_inbox(fetch, root, write_run):
    run = write_run(root / "run")
    inbox = Inbox(run.inbox)
    body = json.dumps({"name": "set_lr", "arguments": {"value": 0.001, "group": 1}})
    code, answer = await fetch(f"runs/{run.info.id}/commands", method="POST", body=body)
    assert code == 202
    [command] = inbox.poll()
    assert (command.id, command.name) == (answer["id"], "set_lr")
    assert (command.arguments, command.who) == ({"value": 0.001, "group": 1}, "you")


@pytest.mark.parametrize("end", ["finished", "stopped", "interrupted", "failed"])
async def test_a_run_that_has_ended_takes_no_command(end, fetch, root, write_run):
    run = write_run(root / "run", end=end)
    code, answer = await fetch(f"runs/{run.info.id}/commands", method="POST", body='{"name": "pause"}')
    assert code == 409
    assert end in answer["message"]
    assert answer["advice"]
    assert not run.inbox.exists()


async def test_a_run_whose_process_is_gone_takes_no_command(fetch, root, write_run):
    run = write_run(root / "run")
    file = run.record / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "pid": 2**22 + 1}))
    code, answer = await fetch(f"runs/{run.info.id}/commands", method="POST", body='{"name": "pause"}')
    assert code == 409
    assert "lost" in answer["message"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("\xff", "not JSON"),
        ("[]", "object"),
        ("{}", "name"),
        ('{"name": 3}', "name"),
        ('{"name": "explode"}', "pause, resume, stop, abort, save, validate, set_lr"),
        ('{"name": "set_lr"}', "learning rate"),
        ('{"name": "set_lr", "arguments": {"value": -1}}', "learning rate"),
        ('{"name": "set_lr", "arguments": {"value": NaN}}', "learning rate"),
        ('{"name": "set_lr", "arguments": {"value": 1e999}}', "learning rate"),
        ('{"name": "set_lr", "arguments": [1]}', "arguments"),
        ('{"name": "pause", "arguments": {"value": 1}}', "no such argument"),
    ],
)
async def test_a_bad_command_is_answered_with_advice(body, said, fetch, root, write_run):
    run = write_run(root / "run")
    code, answer = await fetch(f"runs/{run.info.id}/commands", method="POST", body=body.encode("latin-1"))
    assert code == 400
    assert said in answer["message"]
    assert "expected" in answer["message"] or answer.get("advice")
    assert not run.inbox.exists() or not list(run.inbox.iterdir())


async def test_a_full_disk_is_said_without_paths(fetch, root, write_run, monkeypatch):
    run = write_run(root / "run")

    def full(*_):
        raise OSError(28, "No space left on device", str(run.inbox))

    monkeypatch.setattr("lit_studio.extension.handlers.runs.send_command", full)
    code, answer = await fetch(f"runs/{run.info.id}/commands", method="POST", body='{"name": "pause"}')
    assert code == 500
    assert "No space left" in answer["message"]
    assert str(root) not in json.dumps(answer)


class TestNamedUser:
    @pytest.fixture
    def jp_server_config(self):
        from jupyter_server.auth import User
        from jupyter_server.auth.identity import IdentityProvider

        class Directory(IdentityProvider):
            def get_user(self, handler):
                return User("ada", "Ada", "Ada Lovelace")

        return {
            "ServerApp": {
                "jpserver_extensions": {"lit_studio": True},
                "identity_provider_class": Directory,
                "disable_check_xsrf": True,
            }
        }

    async def test_the_command_says_who_asked(self, fetch, jp_fetch, root, write_run):
        run = RunDirectory.open(write_run(root / "run").path)
        inbox = Inbox(run.inbox)
        code, _ = await fetch(f"runs/{run.info.id}/commands", method="POST", body='{"name": "save"}')
        assert code == 202
        assert inbox.poll()[0].who == "Ada Lovelace"
