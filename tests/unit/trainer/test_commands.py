"""A person's commands to a running fit, sent from another thread through the inbox."""

from __future__ import annotations

import threading
import time

import pytest
import torch

import lit_studio as L
from lit_studio.base.events import CheckpointSaved, CommandApplied, Paused, Resumed, RunEnded, WarningRaised
from lit_studio.base.runs import Command, send_command
from tests.unit.trainer.models import Regression, equal, loader, trainer, weights
from tests.unit.trainer.test_log import Collector

ENDLESS = {"samples": 200_000, "batch_size": 2}


class Person(threading.Thread):
    """Waits for a fit to make its first steps, then does ``script``, a generator that may look and send."""

    def __init__(self, fit, script):
        super().__init__(daemon=True)
        self.fit, self.script, self.error = fit, script, None
        self.start()

    def run(self):
        try:
            wait_until(lambda: self.fit.observation.run is not None and self.fit.global_step >= 20)
            self.script(self)
        except BaseException as error:  # shown in the test's thread
            self.error = error
            self.fit.stop_for_person()

    def send(self, name, **arguments):
        """Send a command; its id."""
        return send_command(self.fit.observation.run.inbox, Command(name, arguments, who="ada"))

    def finish(self):
        self.join(20)
        if self.error is not None:
            raise self.error


def wait_until(condition, seconds=15):
    """Look every few milliseconds; fail when it takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def commanded(script, tmp_path=None, module=None, **settings):
    """Fit on an endless loader while a person carries out ``script``; the trainer and its observer."""
    seen = Collector()
    fit = trainer(tmp_path, observers=[seen], **settings)
    person = Person(fit, script)
    fit.fit(module or Regression(lr=1e-4), loader(**ENDLESS))
    person.finish()
    return fit, seen


def events(seen, kind):
    return [event for event in seen.events if isinstance(event, kind)]


def test_pause_stops_the_steps_and_resume_goes_on():
    noted = {}

    def script(person):
        asked = time.monotonic()
        person.send("pause")
        wait_until(lambda: person.fit.observation.run.status().state == "paused")
        noted["latency"] = time.monotonic() - asked
        noted["paused"] = person.fit.global_step
        time.sleep(0.3)
        noted["still"] = person.fit.global_step
        person.send("resume")
        wait_until(lambda: person.fit.global_step > noted["still"] + 10)
        noted["state"] = person.fit.observation.run.status().state
        person.send("stop")

    fit, seen = commanded(script)
    assert noted["paused"] == noted["still"]
    assert noted["state"] == "running"
    assert noted["latency"] < 1.0  # 0.1 s of its own; the rest is for a busy machine
    [paused], [resumed] = events(seen, Paused), events(seen, Resumed)
    assert paused.step == resumed.step == noted["paused"]
    assert [event.name for event in events(seen, CommandApplied)] == ["pause", "resume", "stop"]


def test_stop_saves_runs_the_end_hooks_and_returns(tmp_path):
    class Ending(L.Callback):
        ended = 0

        def on_train_end(self, *_):
            self.ended += 1

        def teardown(self, *_, **stage):
            self.ended += 1

    ending, ids = Ending(), []
    fit, seen = commanded(lambda person: ids.append(person.send("stop")), tmp_path, logger=True, callbacks=ending)
    assert ending.ended == 2
    assert fit.interrupted
    assert fit.should_stop
    [end] = events(seen, RunEnded)
    [saved] = events(seen, CheckpointSaved)
    [applied] = events(seen, CommandApplied)
    assert (end.state, saved.reason, applied.who, applied.command_id) == ("stopped", "stop", "ada", ids[0])
    checkpoint = torch.load(saved.path, weights_only=True)
    assert checkpoint["global_step"] == saved.step == end.step == fit.global_step
    assert equal(list(checkpoint["state_dict"].values()), weights(fit.lightning_module))
    assert fit.observation.run.status().state == "stopped"
    fit.fit(Regression(), loader())  # the next call is an ordinary one
    assert not fit.interrupted


def test_stop_is_not_held_back_by_a_minimum():
    fit, _ = commanded(lambda person: person.send("stop"), min_steps=100_000, max_epochs=5)
    assert fit.global_step < 100_000


def test_save_writes_a_checkpoint_and_training_goes_on(tmp_path):
    def script(person):
        person.send("save")
        wait_until(lambda: list(tmp_path.rglob("*.ckpt")))
        before = person.fit.global_step
        wait_until(lambda: person.fit.global_step > before + 10)
        person.send("stop")

    _, seen = commanded(script, tmp_path, logger=True, enable_checkpointing=None)
    first, second = events(seen, CheckpointSaved)[:2]
    assert (first.reason, second.reason) == ("user", "stop")
    checkpoint = torch.load(first.path, weights_only=True)
    assert checkpoint["global_step"] == first.step
    assert "optimizer_states" in checkpoint


def test_set_lr_takes_effect_and_is_told():
    def script(person):
        person.send("set_lr", value=5e-5)
        wait_until(lambda: person.fit.optimizers[0].param_groups[0]["lr"] == 5e-5)
        person.send("stop")

    _, seen = commanded(script)
    told = events(seen, CommandApplied)[0]
    assert (told.name, told.detail) == ("set_lr", "lr 0.0001 → 5e-05")


def test_a_command_that_can_not_be_done_is_refused_and_training_goes_on():
    def script(person):
        person.send("set_lr", value=0.1, group=7)
        before = person.fit.global_step
        wait_until(lambda: person.fit.global_step > before + 10)
        person.send("stop")

    with pytest.warns(UserWarning, match="set_lr was refused: There is no such parameter group"):
        _, seen = commanded(script)
    assert events(seen, WarningRaised)[0].kind == "command-refused"
    assert [event.name for event in events(seen, CommandApplied)] == ["stop"]


def test_a_test_can_be_stopped_but_not_saved():
    seen = Collector()
    fit = trainer(observers=[seen])

    class Slow(Regression):
        def test_step(self, batch, batch_idx):
            time.sleep(0.002)
            if batch_idx == 10:
                for name in ("save", "stop"):
                    send_command(fit.observation.run.inbox, Command(name))
            super().test_step(batch, batch_idx)

    with pytest.warns(UserWarning, match="save was refused: save works only while training"):
        fit.test(Slow(), loader(**ENDLESS), verbose=False)
    assert [event.name for event in events(seen, CommandApplied)] == ["stop"]
    assert events(seen, RunEnded)[0].state == "stopped"


def test_commands_sent_before_the_run_are_void(tmp_path):
    fit = trainer(tmp_path, logger=True)
    fit.fit(Regression(), loader())
    send_command(fit.observation.run.inbox, Command("stop"))
    fit.fit_loop.max_epochs = 3
    fit.fit(Regression(), loader())
    assert (fit.current_epoch, fit.interrupted) == (3, False)
