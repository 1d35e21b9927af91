"""Whole runs of small notebooks and scripts in real kernels, through the console script."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

COMMAND = str(Path(sys.executable).with_name("lit-studio"))

TRAIN = """
import time
from lit_studio.base.events import MetricsLogged, Points, Progressed, RunEnded, RunStarted
from lit_studio.base.runs import RunDirectory, RunRecorder
run = RunDirectory.create("lightning_logs/version_0")
recorder = RunRecorder(run)
recorder.observe(RunStarted(time.time(), "train", 1, -1))
for step in range(20):
    done = step + 1
    recorder.observe(Progressed(time.time(), "train", done, 0, done, 20, planned_steps=20, active=done * 0.02))
    recorder.observe(MetricsLogged(time.time(), 0, (Points("train_loss", [step], [1 / (step + 1)], True),)))
    time.sleep(0.02)
recorder.observe(RunEnded(time.time(), "finished", "train", 20, 1, "", {"train_loss": 0.05}))
recorder.observe(RunStarted(time.time(), "test", None, -1, 20, 1))
recorder.observe(RunEnded(time.time(), "finished", "test", 20, 1, "", {"test_acc": 0.983}))
recorder.close()
"""


@pytest.fixture
def notebook(tmp_path):
    """Write a notebook of code cells: ``notebook(cell, …)`` returns its path."""

    def write(*cells, kernel="python3"):
        path = tmp_path / "a notebook.ipynb"
        metadata = {"kernelspec": {"name": kernel, "display_name": "Python 3", "language": "python"}}
        content = new_notebook(
            cells=[new_markdown_cell("# Title"), *(new_code_cell(source) for source in cells)], metadata=metadata
        )
        nbformat.write(content, path)
        return path

    return write


def studio(*arguments, **options):
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)


def outputs(path, cell):
    return nbformat.read(path, as_version=4).cells[cell].outputs


def test_a_notebook_ends_with_its_numbers_and_where_it_lies(notebook, tmp_path):
    path = notebook(TRAIN, "print('done', __import__('os').getcwd())")
    before = path.read_bytes()
    target = tmp_path / "build" / "out.ipynb"
    told = studio("run", path, "--output", target)
    assert told.returncode == 0, told.stderr
    lines = [line.split() for line in told.stdout.splitlines()]
    assert lines[1] == ["test_acc", "98.3", "%"]
    assert lines[2] == ["train_loss", "0.05"]
    assert told.stdout.splitlines()[-1].startswith("Executed notebook: ")
    assert told.stdout.splitlines()[-1].endswith("out.ipynb")
    assert "version_0: test finished" in told.stderr
    assert "\x1b" not in told.stdout + told.stderr
    assert "encryption" not in told.stderr
    assert outputs(target, 2)[0].text == f"done {tmp_path}\n"
    assert path.read_bytes() == before
    assert (tmp_path / "lightning_logs" / "version_0" / "studio" / "run.json").is_file()


def test_json_is_one_object(notebook, tmp_path):
    told = studio("run", notebook(TRAIN, "import os; os.write(1, b'noise on the descriptor')"), "--json")
    report = json.loads(told.stdout)
    assert told.returncode == 0
    assert report["state"] == "finished"
    assert report["output"] == str(tmp_path / "a notebook.executed.ipynb")
    (run,) = report["runs"]
    assert run["metrics"] == {"test_acc": 0.983, "train_loss": 0.05}
    assert run["notebook"].endswith("a notebook.ipynb")


def test_a_failing_cell_is_shown_with_its_source(notebook, tmp_path):
    path = notebook("x = 1", "def broken():\n    return x / 0\n\nbroken()", "print('never')")
    told = studio("run", path)
    assert told.returncode == 1
    assert "Cell 3 of 4 failed." in told.stderr
    assert "   4  broken()" in told.stderr
    assert "ZeroDivisionError: division by zero" in told.stderr
    assert "\x1b" not in told.stderr
    assert "nbclient" not in told.stderr
    executed = tmp_path / "a notebook.executed.ipynb"
    assert outputs(executed, 2)[0].ename == "ZeroDivisionError"
    assert outputs(executed, 3) == []


def test_a_kernel_that_dies_is_an_error(notebook):
    told = studio("run", notebook("1", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"), "--json")
    report = json.loads(told.stdout)
    assert told.returncode == 1
    assert (report["state"], report["failed_cell"]) == ("failed", 2)
    assert "Kernel died" in report["error"]
    assert "Traceback" not in told.stderr


def test_time_is_up(notebook, tmp_path):
    told = studio("run", notebook("print('hello', flush=True)\nimport time; time.sleep(60)", "1"), "--timeout", 4)
    assert told.returncode == 1
    assert "Time was up after 4.0 s, in cell 2 of 3." in told.stderr
    assert outputs(tmp_path / "a notebook.executed.ipynb", 1)[0].text == "hello\n"


# Swallows the interrupt, as a Trainer in a notebook does: the cell ends well, and yet no further one is to begin.
GRACEFUL = """
from pathlib import Path
import time
print("hello", flush=True)
Path("ready").touch()
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("graceful")
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupting_keeps_what_there_is(notebook, tmp_path, number, status):
    path = notebook(GRACEFUL, "print('never')")
    with subprocess.Popen(
        [COMMAND, "run", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == status
    executed = tmp_path / "a notebook.executed.ipynb"
    assert outputs(executed, 1)[0].text == "hello\ngraceful\n"
    assert outputs(executed, 2) == []
    assert "Notebook as far as it got" in out
    assert "Traceback" not in err


def test_a_kernel_that_ignores_the_first_interrupt_ends_at_the_second(notebook, tmp_path):
    stubborn = GRACEFUL.replace('print("graceful")', "Path('first').touch(); time.sleep(60)")
    with subprocess.Popen(
        [COMMAND, "run", str(notebook(stubborn))], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        for sign in ("ready", "first"):
            deadline = time.monotonic() + 60
            while not (tmp_path / sign).exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130


def test_an_interrupt_while_the_kernel_starts(notebook, tmp_path):
    # A kernel takes about a second to start: whenever the interrupt comes, it ends as one, without a traceback.
    path = notebook("import time; time.sleep(60)")
    for delay in (0.8, 1.4):
        with subprocess.Popen([COMMAND, "run", str(path)], stderr=subprocess.PIPE, text=True) as process:
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        assert process.returncode == 130, err
        assert "Traceback" not in err


def test_a_terminal_gets_moving_bars(notebook):
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    environment.pop("NO_COLOR", None)
    told = b""
    with subprocess.Popen(
        [COMMAND, "run", str(notebook(TRAIN))], stdout=subprocess.DEVNULL, stderr=follower, env=environment
    ) as process:
        os.close(follower)
        try:
            while piece := os.read(leader, 65536):
                told += piece
        except OSError:  # Linux's way to say that the other side has closed
            pass
        finally:
            os.close(leader)
    assert process.returncode == 0
    text = told.decode()
    assert "\x1b[" in text
    assert "cell 2 of 2" in text
    assert "epoch 1 of 1" in text


def test_bad_input_is_refused_before_anything_starts(notebook, tmp_path):
    broken = tmp_path / "broken.ipynb"
    broken.write_text("{ this is no json")
    told = studio("run", broken)
    assert told.returncode == 1
    assert "is no notebook that can be read" in told.stderr
    path = notebook("1", kernel="no-such-kernel")
    told = studio("run", path)
    assert told.returncode == 1
    assert "--kernel python3" in told.stderr
    assert studio("run", path, "--kernel", "python3", "--output", path).returncode == 2
    assert studio("run", path, "--kernel", "python3").returncode == 0


def test_a_script(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(TRAIN + "\nprint('said by the script')")
    told = studio("run", script, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[0] == "said by the script"
    assert "test_acc    98.3 %" in told.stdout
    told = studio("run", script, "--json", cwd=tmp_path)
    assert json.loads(told.stdout)["runs"][0]["status"]["metrics"]["test_acc"] == 0.983
    assert "said by the script" in told.stderr


def test_a_failing_script_and_a_slow_one(tmp_path):
    script = tmp_path / "bad.py"
    script.write_text("raise SystemExit(7)")
    assert studio("run", script).returncode == 1
    script.write_text("import time; time.sleep(60)")
    told = studio("run", script, "--timeout", "0.5")
    assert told.returncode == 1
    assert "Time was up" in told.stderr
    assert studio("run", script, "--output", "x.ipynb").returncode == 2
    assert studio("run", tmp_path / "none.py").returncode == 2
