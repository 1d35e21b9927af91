from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_studio.base.events import CheckpointSaved, MetricsLogged, Points, RunEnded, RunStarted
from lit_studio.base.runs import RunDirectory, RunRecorder
from lit_studio.cli import lab as lab_room
from lit_studio.cli import main


@pytest.fixture
def call(capsys):
    """Call the command line in this process: ``status, stdout, stderr``."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.fixture
def run_on_disk(tmp_path):
    run = RunDirectory.create(tmp_path / "lightning_logs" / "version_0", {"torch": "2.13.0"})
    recorder, now = RunRecorder(run), time.time()
    recorder.observe(RunStarted(now, "train", 2, -1))
    recorder.observe(MetricsLogged(now, 0, (Points("train_loss", [0, 1], [2.0, 1.0], True),)))
    recorder.observe(CheckpointSaved(now, 2, 0, "checkpoints/last.ckpt", "last"))
    recorder.observe(RunEnded(now + 5, "finished", "train", 2, 2, "", {"val_acc": 0.98}))
    recorder.close()
    return run


def test_help_is_quick_and_loads_no_torch():
    code = (
        "import sys, time; began = time.perf_counter()\n"
        "from lit_studio.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = ('torch', 'numpy', 'nbclient', 'jupyter_client', 'anywidget')\n"
        "print('LOADED', [name for name in heavy if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "LOADED []"
    for name in ("lab", "run", "runs", "doctor", "Examples"):
        assert name in told


COMMANDS = [
    *(["lab"], ["run"], ["runs", "list"], ["runs", "show"], ["doctor"], ["migrate"]),
    *(["kernels", name] for name in ("list", "attach", "logs", "stop")),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(call, command):
    status, out, _ = call(*command, "--help")
    assert status == 0
    assert "Example" in out
    assert f"lit-studio {' '.join(command)}" in " ".join(out.split())


def test_version(call):
    status, out, _ = call("--version")
    assert status == 0
    assert out.startswith("lit-studio 0.")


def test_wrong_usage_is_2(call, tmp_path):
    assert call("run")[0] == 2
    assert call("runs", "list", "--limit", "0")[0] == 2
    assert call("run", tmp_path / "no.ipynb")[0] == 2


def test_a_mistyped_command_is_named(call):
    status, out, err = call("doctro")
    assert (status, out) == (2, "")
    assert "Did you mean: lit-studio doctor" in err
    assert "Traceback" not in err


# runs ---------------------------------------------------------------------------------------------------------------


def test_runs_list_of_nothing(call):
    status, out, err = call("runs", "list")
    assert (status, out) == (0, "")
    assert "No run" in err
    assert json.loads(call("runs", "list", "--json")[1]) == {"runs": []}


def test_runs_list(call, run_on_disk):
    status, out, _ = call("runs", "list")
    assert status == 0
    line = out.splitlines()[1]
    for word in (run_on_disk.info.id, "version_0", "finished", "val_acc 98.0 %"):
        assert word in line
    assert "\x1b" not in out
    (record,) = json.loads(call("runs", "list", "--json")[1])["runs"]
    assert record["status"]["metrics"] == {"train_loss": 1.0, "val_acc": 0.98}


def test_runs_list_survives_a_damaged_run(call, run_on_disk):
    run_on_disk.status_file.write_text("{")
    status, out, _ = call("runs", "list")
    assert status == 0
    assert "unreadable" in out


def test_runs_show(call, run_on_disk):
    status, out, _ = call("runs", "show", run_on_disk.info.id[:4])
    assert status == 0
    assert out.splitlines()[0].rstrip() == "version_0: training finished, 2 epochs, 2 steps in 5.0 s"
    assert "torch" in out
    assert out.index("val_acc") < out.index("train_loss")
    assert "checkpoint last.ckpt (last)" in out
    record = json.loads(call("runs", "show", "--json")[1])
    assert record["series"] == ["train_loss"]
    assert record["events"][0]["event"] == "CheckpointSaved"


def test_runs_show_of_what_is_not_there_is_3(call):
    status, out, err = call("runs", "show", "abcd1234")
    assert (status, out) == (3, "")
    assert "lit-studio runs list" in err
    status, out, _ = call("runs", "show", "abcd1234", "--json")
    assert status == 3
    assert json.loads(out)["error"]["advice"]


# lab ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def became(monkeypatch):
    """What this process would have become."""
    commands = []
    monkeypatch.setattr("os.execv", lambda path, arguments: commands.append(arguments))
    return commands


@pytest.fixture
def busy_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_alone_it_opens_this_folder(call, became, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, _ = call()
    assert status == 0
    (command,) = became
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={tmp_path.resolve()}" in command
    assert "--ServerApp.ip=127.0.0.1" in command
    assert "--no-browser" not in command


def test_folder_file_port_and_browser(call, became, tmp_path, monkeypatch):
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a folder" / "my notebook.ipynb").write_text("{}")
    port = lab_room.next_free_port(20_000)
    status, _, _ = call(tmp_path / "a folder", "--open", "my notebook.ipynb", "--port", port, "--no-browser")
    assert status == 0
    (command,) = became
    assert "--LabApp.default_url=/lab/tree/my%20notebook.ipynb" in command
    assert f"--ServerApp.port={port}" in command
    assert "--no-browser" in command


def test_a_port_in_use_is_refused_and_a_free_one_named(call, became, busy_port):
    status, out, err = call("--port", busy_port)
    assert (status, out, became) == (1, "", [])
    assert f"Port {busy_port} is in use" in err
    free = int(err.rsplit("--port ", 1)[1])
    assert lab_room.port_is_free(free)


def test_without_a_port_the_next_free_one_is_taken(call, became, busy_port, monkeypatch):
    monkeypatch.setattr(lab_room, "FIRST_PORT", busy_port)
    status, _, err = call("--no-browser")
    assert status == 0
    assert f"Port {busy_port} is in use" in err
    assert f"--ServerApp.port={busy_port}" not in became[0]


@pytest.mark.parametrize("file", ["missing.ipynb", "../outside.ipynb"])
def test_a_file_to_open_must_be_there_and_inside(call, became, tmp_path, file):
    (tmp_path / "outside.ipynb").write_text("{}")
    (tmp_path / "root").mkdir()
    assert call("lab", tmp_path / "root", "--open", file)[0] == 2
    assert became == []


def test_root_is_allowed_with_a_note(call, became, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    _, _, err = call("--no-browser")
    assert "--allow-root" in became[0]
    assert "You are root" in err
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    _, _, err = call("--no-browser")
    assert "--allow-root" not in became[1]
    assert "root" not in err


# doctor -------------------------------------------------------------------------------------------------------------


def test_doctor_names_everything_and_what_mends_it(call):
    status, out, _ = call("doctor", "--json")
    report = json.loads(out)
    found = {check["name"]: check for check in report["checks"]}
    assert {"python", "torch", "device", "jupyterlab", "labextension", "server extension", "node", "disk here"} <= set(
        found
    )
    assert found["torch"]["state"] == "ok"
    assert report["ok"] == (status == 0) == all(check["state"] != "failed" for check in report["checks"])
    assert all(bool(check["fix"]) == (check["state"] == "failed") for check in report["checks"])


def test_doctor_sees_an_extension_that_is_switched_off(call, tmp_path, monkeypatch):
    from lit_studio.cli import doctor_jupyter

    folder = tmp_path / "etc" / "jupyter_server_config.d"
    folder.mkdir(parents=True)
    (folder / "lit_studio.json").write_text('{"ServerApp": {"jpserver_extensions": {"lit_studio": false}}}')
    monkeypatch.setattr("jupyter_core.paths.jupyter_config_path", lambda: [str(tmp_path / "etc")])
    name, state, found, fix = doctor_jupyter.server_extension()
    assert (name, state, found) == ("server extension", "failed", "switched off")
    assert fix == "jupyter server extension enable lit_studio"


def test_doctor_sees_a_labextension_that_is_missing(monkeypatch, tmp_path):
    from lit_studio.cli import doctor_jupyter

    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *parts: [str(tmp_path)])
    assert doctor_jupyter.labextension()[1] == "failed"


def test_doctor_fails_with_1_and_a_command(call, monkeypatch):
    from lit_studio.cli import doctor

    monkeypatch.setattr(doctor, "CHECKS", (lambda: [doctor.Check("disk", "failed", "full", "rm things")],))
    status, out, _ = call("doctor")
    assert status == 1
    assert "rm things" in out


def test_doctor_tells_where_a_setting_comes_from(call, monkeypatch):
    monkeypatch.setenv("LIT_STUDIO_MODE", "plain")
    settings = json.loads(call("doctor", "--config", "--json")[1])
    assert settings["mode"] == {"value": "plain", "source": "environment variable LIT_STUDIO_MODE"}


def test_nothing_is_coloured_where_no_color_is_set(tmp_path):
    told = subprocess.run(
        [str(Path(sys.executable).with_name("lit-studio")), "runs", "show"],
        capture_output=True,
        text=True,
        env={"NO_COLOR": "1", "PATH": "/usr/bin:/bin", "LIT_STUDIO_HOME": str(tmp_path)},
    )
    assert told.returncode == 3
    assert "\x1b[3" not in told.stderr
