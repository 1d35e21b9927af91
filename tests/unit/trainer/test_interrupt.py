"""^C: a script ends with status 1, a notebook's call returns, and the record says interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lit_studio as L
from lit_studio.base.runs import RunDirectory, send_command
from lit_studio.base.runs.inbox import Command
from tests.unit.trainer.models import Regression, loader, trainer

SCRIPT = """
import sys
import lit_studio as L
from tests.unit.trainer.models import Regression, loader, trainer

class Told(L.Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if batch_idx == 30:
            print("running", flush=True)
    def on_exception(self, trainer, module, exception):
        print("told", type(exception).__name__, flush=True)
    def teardown(self, *_, **stage):
        print("teardown", flush=True)

trainer(sys.argv[1], logger=True, callbacks=Told()).fit(Regression(lr=1e-4), loader(samples=1_000_000, batch_size=1))
print("went on", flush=True)
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """Two processes of the script above, each training in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIT_STUDIO_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("OMP_NUM_THREADS", "1")
        folders = [tmp_path_factory.mktemp("run") for _ in range(2)]
        where = Path(__file__).parents[3]  # where the script finds the tests' modules
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": where}
        processes = [subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], **pipes) for folder in folders]
    yield list(zip(processes, folders, strict=True))
    for process in processes:
        process.kill()
        process.communicate()


def running(process):
    """Wait until it has made its first steps."""
    assert process.stdout.readline() == "running\n", process.stderr.read()


def run_of(folder):
    return RunDirectory.open(folder / "lightning_logs" / "version_0")


def test_a_script_ends_with_status_one_after_everybody_was_told(scripts):
    process, folder = scripts[0]
    running(process)
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert printed == "told KeyboardInterrupt\n"
    assert "Detected KeyboardInterrupt" in said
    assert "Traceback" not in said
    status = run_of(folder).status()
    assert (status.state, status.error) == ("interrupted", "")
    assert status.step >= 30


def test_a_paused_script_can_be_interrupted(scripts):
    process, folder = scripts[1]
    running(process)
    run = run_of(folder)
    send_command(run.inbox, Command("pause"))
    end = time.monotonic() + 30
    while run.status().state != "paused":
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert run.status().state == "interrupted"


class Interrupted(Regression):
    def training_step(self, batch, batch_idx):
        if batch_idx == 2:
            raise KeyboardInterrupt
        return super().training_step(batch, batch_idx)


def test_at_a_prompt_the_call_returns(monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    fit = trainer()
    assert fit.fit(Interrupted(), loader()) is None
    assert fit.interrupted
    assert fit.global_step == 2
    assert fit.observation.run.status().state == "interrupted"
    fit.fit(Regression(), loader())  # and it can be used again
    assert not fit.interrupted


def test_where_an_observer_displays_the_call_returns():
    class Screen:
        displays = True

        def observe(self, event):
            pass

        def close(self):
            pass

    fit = trainer(observers=[Screen()])
    fit.fit(Interrupted(), loader())
    assert fit.interrupted


def test_in_a_script_the_call_exits(monkeypatch):
    monkeypatch.delattr(sys, "ps1", raising=False)
    with pytest.raises(SystemExit) as caught:
        trainer().fit(Interrupted(), loader())
    assert caught.value.code == 1


def test_an_error_of_the_process_is_recorded(tmp_path):
    class Exiting(Regression):
        def training_step(self, batch, batch_idx):
            raise SystemExit(3)

    fit = trainer(tmp_path, logger=True)
    with pytest.raises(SystemExit) as caught:
        fit.fit(Exiting(), loader())
    assert caught.value.code == 3
    assert run_of(tmp_path).status().state == "failed"
    assert isinstance(fit, L.Trainer)
