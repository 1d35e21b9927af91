"""SIGTERM while a trainer runs: it ends at a step boundary, everybody is told, and the process ends as asked."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
import torch

import lit_studio as L
from lit_studio.pytorch.utilities.exceptions import SIGTERMException
from tests.unit.trainer.models import OFF, Validated, loader

PROGRAM = """
import os, signal, sys
import torch
import lit_studio as L

class Module(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, batch_idx):
        if batch_idx == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.layer(batch).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

trainer = L.Trainer(max_epochs=2, default_root_dir=sys.argv[1], accelerator="cpu",
                    callbacks=[L.callbacks.OnExceptionCheckpoint(sys.argv[1])])
try:
    trainer.fit(Module(), torch.utils.data.DataLoader(torch.ones(32, 2), batch_size=4))
finally:
    print("wound up at step", trainer.global_step)
"""


class Ending(L.Callback):
    """Sends the signal in one batch and notes what it is told."""

    def __init__(self, batch: int, hook: str = "train"):
        self.batch, self.hook, self.told, self.ended_epochs = batch, hook, [], 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.hook == "train" and batch_idx == self.batch:
            signal.raise_signal(signal.SIGTERM)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if self.hook == "validation" and batch_idx == self.batch and not trainer.sanity_checking:
            signal.raise_signal(signal.SIGTERM)

    def on_train_epoch_end(self, trainer, pl_module):
        self.ended_epochs += 1

    def on_exception(self, trainer, pl_module, exception):
        self.told.append((type(exception), trainer.global_step, trainer.received_sigterm))


@pytest.fixture
def fit(tmp_path):
    def run(callback, **arguments):
        settings = {"max_epochs": 2, "accelerator": "cpu", **OFF, **arguments}
        trainer = L.Trainer(default_root_dir=tmp_path, callbacks=callback, **settings)
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SIGTERMException) as raised:
            trainer.fit(Validated(), loader(), loader())
        assert signal.getsignal(signal.SIGTERM) == before
        return trainer, raised.value

    return run


def test_it_ends_after_the_step(fit):
    callback = Ending(2)
    trainer, error = fit(callback)
    assert callback.told == [(SIGTERMException, 3, True)]
    assert isinstance(error, SystemExit)
    assert error.code == 143
    assert trainer.state.status == "interrupted"
    assert trainer.global_step == 3


def test_an_epoch_that_is_through_is_ended_first(fit):
    callback = Ending(len(loader()) - 1)
    trainer, _ = fit(callback, limit_val_batches=0)
    assert callback.ended_epochs == 1
    assert (trainer.global_step, trainer.current_epoch) == (len(loader()), 1)


def test_it_ends_within_validation(fit):
    callback = Ending(1, "validation")
    trainer, _ = fit(callback)
    assert callback.ended_epochs == 0
    assert trainer.global_step == len(loader())


def test_somebody_elses_handler_is_called_and_put_back(fit):
    seen = []

    def handler(number, frame):
        seen.append(number)

    before = signal.signal(signal.SIGTERM, handler)
    try:
        fit(Ending(1))
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


def test_the_next_call_begins_anew(fit):
    trainer, _ = fit(Ending(1))
    trainer.callbacks = [one for one in trainer.callbacks if not isinstance(one, Ending)]
    trainer.validate(Validated(), loader(), verbose=False)
    assert not trainer.received_sigterm
    assert trainer.state.finished


def test_other_threads_leave_the_signal_alone(tmp_path):
    seen = []

    class Looks(L.Callback):
        def on_train_start(self, trainer, pl_module):
            seen.append(signal.getsignal(signal.SIGTERM))

    def train():
        L.Trainer(max_epochs=1, default_root_dir=tmp_path, accelerator="cpu", callbacks=Looks(), **OFF).fit(
            Validated(), loader(), loader()
        )

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_script_ends_with_143_and_its_record_says_interrupted(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path)], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 143, done.stderr
    assert "wound up at step 4" in done.stdout
    (status,) = tmp_path.rglob("status.json")
    assert json.loads(status.read_text())["state"] == "interrupted"
    checkpoint = torch.load(tmp_path / "on_exception.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 4
