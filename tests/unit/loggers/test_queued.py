"""The queue of loggers that talk to others: order kept, nothing waited for, failures told once."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
import warnings

import pytest

import lit_studio as L
from lit_studio.base.errors import LoggerError
from lit_studio.loggers import CSVLogger
from lit_studio.loggers import queued as module
from lit_studio.loggers.queued import Outbox, QueuedLogger, without_secrets
from tests.unit.trainer.models import Regression, loader


@pytest.fixture(autouse=True)
def short_lives(monkeypatch):
    """No thread outlasts its test for long."""
    monkeypatch.setattr(module, "IDLE", 0.2)


class TestOutbox:
    def test_order_is_kept_and_neighbours_go_together(self):
        box, seen, gate = Outbox("box", batch=4), [], threading.Event()

        def first(items):
            gate.wait(10)
            seen.append(("first", list(items)))

        def second(items):
            seen.append(("second", list(items)))

        for item in range(6):
            box.put(first, item)
            if item == 0:
                while box._items:  # it is under way alone
                    time.sleep(0.001)
        box.put(second, "x")
        box.put(first, 6)
        gate.set()
        assert box.flush(10) == 0
        assert seen == [("first", [0]), ("first", [1, 2, 3, 4]), ("first", [5]), ("second", ["x"]), ("first", [6])]
        assert (box.delivered, box.dropped, box.failed) == (8, 0, 0)

    def test_when_it_is_full_the_oldest_goes_but_what_is_kept_stays(self):
        box, seen, gate, begun = Outbox("box", capacity=3), [], threading.Event(), threading.Event()

        def deliver(items):
            begun.set()
            gate.wait(10)
            seen.extend(items)

        box.put(deliver, 0)
        assert begun.wait(10)
        box.put(deliver, "kept", keep=True)
        for item in range(1, 10):
            box.put(deliver, item)
        with pytest.raises(LoggerError, match="can't keep up"):
            box.check()
        box.check()  # told once
        gate.set()
        box.flush(10)
        assert seen == [0, "kept", 8, 9]
        assert box.dropped == 7

    def test_another_attempt_gets_only_what_has_not_arrived(self):
        box, seen, tries = Outbox("box", pause=0.001), [], []

        def deliver(items):
            while items:
                tries.append(items[0])
                if items[0] == "b" and tries.count("b") < 3:
                    raise OSError("away")
                seen.append(items.pop(0))

        gate = threading.Event()
        box.put(lambda items: gate.wait(10), None)
        for item in "abc":
            box.put(deliver, item)
        gate.set()
        assert box.flush(10) == 0
        assert seen == ["a", "b", "c"]
        assert tries == ["a", "b", "b", "b", "c"]
        with pytest.raises(LoggerError, match="box can't deliver: OSError"):
            box.check()

    def test_what_never_works_is_given_up_and_the_rest_goes_on(self):
        box, seen = Outbox("box", pause=0.001), []

        def broken(items):
            raise ValueError("no")

        box.put(broken, 1)
        box.put(seen.extend, 2)
        assert box.flush(10) == 0
        assert seen == [2]
        assert (box.delivered, box.failed) == (1, 1)

    def test_pauses_between_attempts_end_when_someone_waits(self):
        box, tries = Outbox("box", pause=1000.0), []

        def broken(items):
            tries.append(1)
            raise ValueError("no")

        box.put(broken, 1)
        assert box.flush(10) == 0
        assert len(tries) == 3

    def test_an_idle_thread_ends_and_another_begins(self):
        box, threads = Outbox("box"), []

        def deliver(items):
            threads.append(threading.current_thread())

        box.put(deliver, 1)
        box.flush(10)
        threads[0].join(10)
        assert not threads[0].is_alive()
        box.put(deliver, 2)
        box.flush(10)
        assert threads[1] is not threads[0]
        assert threads[1].daemon

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    def test_a_forked_child_neither_hangs_nor_sends_twice(self):
        box, gate, begun = Outbox("box"), threading.Event(), threading.Event()

        def deliver(items):
            begun.set()
            gate.wait(10)

        box.put(deliver, 1)
        begun.wait(10)
        box.put(deliver, 2)
        box._changed.acquire()  # as if another thread held it in the moment of the fork
        child = os.fork()
        if child == 0:
            seen = []
            box.put(seen.extend, 3)
            os._exit(0 if box.flush(10) == 0 and seen == [3] else 1)
        box._changed.release()
        _, status = os.waitpid(child, 0)
        gate.set()
        assert os.waitstatus_to_exitcode(status) == 0
        assert box.flush(10) == 0
        assert box.delivered == 2

    def test_it_travels_empty(self):
        box = Outbox("box", capacity=7)
        box.put(lambda items: None, threading.Lock())
        twin = pickle.loads(pickle.dumps(box))
        assert (twin.name, twin.capacity, twin.flush(0)) == ("box", 7, 0)
        box.flush(10)


def test_the_end_of_a_program_waits_for_what_is_queued(tmp_path):
    code = (
        "import sys, time\n"
        "from lit_studio.loggers.queued import Outbox\n"
        "def deliver(items):\n"
        "    time.sleep(0.05); open(sys.argv[1], 'a').write(''.join(map(str, items)))\n"
        "box = Outbox('box', batch=1)\n"
        "for i in range(5): box.put(deliver, i)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=True, timeout=60)
    assert (tmp_path / "out").read_text() == "01234"


def test_no_secret_is_told(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    told = without_secrets("can't reach mysql+pymysql://me:pa55@host/db?key=0123456789abcdef")
    assert told == "can't reach mysql+pymysql://me:***@host/db?key=***"


class Service(QueuedLogger):
    """A logger whose service does what a test wants."""

    name, version, save_dir = "service", "v", None
    flush_timeout = 10.0

    def __init__(self, folder, send):
        super().__init__()
        self.save_dir, self.sent, self._do = str(folder), [], send
        self._outbox.pause = 0.001

    def log_metrics(self, metrics, step=None):
        self._queue(self._send, (step, metrics))

    def log_hyperparams(self, params, *args, **kwargs):
        pass

    def _send(self, items):
        self._do(items)
        self.sent.extend(items)


def fit(logger, **settings):
    trainer = L.Trainer(
        max_epochs=2, logger=logger, log_every_n_steps=1, enable_checkpointing=False, enable_model_summary=False,
        enable_progress_bar=False, accelerator="cpu", **settings,
    )  # fmt: skip
    trainer.fit(Logging(), loader())
    return trainer


class Logging(Regression):
    def training_step(self, batch, batch_idx):
        loss = self.error(batch)
        self.log("loss", loss)
        return loss


class TestFits:
    def test_values_arrive_in_order_and_complete(self, tmp_path):
        logger = Service(tmp_path, lambda items: None)
        trainer = fit([logger, CSVLogger(tmp_path)])
        steps = [step for step, metrics in logger.sent if "loss" in metrics]
        assert steps == list(range(trainer.global_step))

    def test_a_service_that_answers_nothing_holds_up_no_step(self, tmp_path):
        gate, at_first = threading.Event(), []

        def send(items):
            at_first.append(len(items))
            gate.wait(30)

        logger = Service(tmp_path, send)
        logger.flush_timeout = 0.05
        with pytest.warns(UserWarning, match=r"Service has not sent everything: \d+ still on their way after 0.05 s"):
            trainer = fit(logger)
        # The whole fit went by while the first delivery was still under way.
        assert trainer.state.finished
        assert trainer.global_step > 2
        assert len(at_first) == 1
        assert logger.sent == []
        gate.set()
        assert logger._outbox.flush(10) == 0
        assert [step for step, metrics in logger.sent if "loss" in metrics] == list(range(trainer.global_step))

    def test_a_service_that_refuses_is_told_of_and_ends_nothing(self, tmp_path):
        def send(items):
            raise ConnectionError("refused")

        logger = Service(tmp_path, send)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            trainer = fit(logger)
        told = [str(one.message) for one in caught if "Service" in str(one.message)]
        assert trainer.state.finished
        assert "given up after several attempts" in told[-1]
        assert any("refused" in one for one in told)
        assert len(told) <= 2

    def test_a_failing_start_ends_nothing(self, tmp_path):
        class Broken(Service):
            def log_hyperparams(self, params, *args, **kwargs):
                raise ConnectionError("refused")

        class Module(Logging):
            def __init__(self, width=1):
                super().__init__()
                self.save_hyperparameters()

        logger = Broken(tmp_path, lambda items: None)
        trainer = L.Trainer(fast_dev_run=False, max_steps=1, logger=logger, enable_checkpointing=False,
                            enable_model_summary=False, enable_progress_bar=False, accelerator="cpu")  # fmt: skip
        with pytest.warns(UserWarning, match="Broken failed, and training goes on"):
            trainer.fit(Module(), loader())
        assert trainer.global_step == 1
