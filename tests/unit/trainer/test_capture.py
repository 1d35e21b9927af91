"""A captured step trains and logs what the step itself would; by a stand-in for CUDA's graphs that works anywhere.

The stand-in keeps the two properties that matter: recording changes nothing, and replaying runs none of
``training_step``'s Python for the reader to see but writes into the very tensors that recording returned.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils._pytree import tree_flatten

import lit_studio as L
from lit_studio.trainer import capture
from tests.unit.trainer.models import Regression, loader

OFF = dict.fromkeys(("enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


class Graphs:
    """Records by doing the work and taking it back, replays by doing it again into the recorded tensors."""

    def __init__(self, trainer, module):
        self.trainer, self.module = trainer, module
        self.warm_ups = self.records = self.replays = 0
        self.error = None

    def warm_up(self, work):
        self.warm_ups += 1
        return work()

    def record(self, work):
        if self.error is not None:
            raise self.error
        self.records += 1
        optimizer = self.trainer.optimizers[0]
        before = [parameter.detach().clone() for parameter in self.module.parameters()]
        state = copy.deepcopy(dict(optimizer.state))
        logged = []
        outer, self.trainer.results.log = self.trainer.results.log, lambda *given: (logged.append(given), outer(*given))
        answer = work()
        self.trainer.results.log = outer
        with torch.no_grad():
            for parameter, value in zip(self.module.parameters(), before, strict=True):
                parameter.copy_(value)
        for old, new in zip(list(optimizer.state), state.values(), strict=True):
            optimizer.state[old] = new
        return answer, lambda: self.replay(work, answer, logged)

    def replay(self, work, answer, logged):
        self.replays += 1
        results, again = self.trainer.results, []
        noted = len(results.losses)
        results.log = lambda *given: again.append(given)
        fresh = work()
        del results.log, results.losses[noted:], results.loss_steps[noted:]
        old, new = tree_flatten([answer, logged])[0], tree_flatten([fresh, again])[0]
        for static, value in zip(old, new, strict=True):
            if isinstance(static, torch.Tensor) and static is not value:
                static.data.copy_(value.data)


@pytest.fixture
def train(monkeypatch, tmp_path):
    """Train a module with capture on, as if the CPU had graphs; returns the trainer and the stand-in."""

    def run(module, captured=True, data=None, has_graphs=True, **options):
        options = {"max_epochs": 3, "logger": False, **OFF, **options}
        trainer = L.Trainer(accelerator="cpu", capture_step=captured, default_root_dir=tmp_path, **options)
        graphs = Graphs(trainer, module)
        if has_graphs:
            monkeypatch.setattr(capture, "graphs_of", lambda device: graphs)
        trainer.fit(module, data or loader(16, 2))
        return trainer, graphs

    return run


def weights(module):
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


class Adam(Regression):
    optimizer = torch.optim.Adam

    def configure_optimizers(self):
        return self.optimizer(self.parameters(), lr=self.lr, foreach=False)


class Plain(Adam):
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)
        return [optimizer], [{"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5), "interval": "step"}]


def made(cls):
    L.seed_everything(3, verbose=False)
    return cls()


def test_the_weights_and_the_log_are_those_of_the_step_itself(train):
    ends = []
    for captured in (False, True):
        module = made(Plain)
        trainer, graphs = train(module, captured)
        ends.append((weights(module), trainer.callback_metrics["loss"], trainer.global_step, trainer.optimizers[0]))
    assert (graphs.warm_ups, graphs.records, graphs.replays) == (3, 1, 21)
    assert torch.allclose(ends[0][0], ends[1][0], atol=1e-6)
    assert torch.allclose(ends[0][1], ends[1][1], atol=1e-6)
    assert ends[0][2] == ends[1][2] == 24
    assert ends[1][3].param_groups[0]["lr"] == pytest.approx(ends[0][3].param_groups[0]["lr"])
    assert isinstance(ends[1][3].param_groups[0]["lr"], float)


def test_every_step_s_value_is_logged_once(train):
    points = []

    class Watcher:
        def observe(self, event):
            for one in getattr(event, "points", ()):
                points.extend(zip(one.steps, one.values, strict=True))

        def close(self):
            pass

    class Logging(Plain):
        def training_step(self, batch, batch_idx):
            loss = self.error(batch)
            self.log("only", loss, on_step=True, on_epoch=False)
            return loss

    expected, points = points, []
    for captured in (False, True):
        points.clear()
        train(made(Logging), captured, observers=[Watcher()])
        if not captured:
            expected = list(points)
    assert [step for step, _ in points] == list(range(24))
    assert [value for _, value in points] == pytest.approx([value for _, value in expected], abs=1e-6)


def test_a_smaller_last_batch_is_done_as_usual(train):
    ends = []
    for captured in (False, True):
        module = made(Plain)
        _, graphs = train(module, captured, data=loader(15, 2))
        ends.append(weights(module))
    assert graphs.warm_ups + graphs.replays == 3 * 7
    assert torch.allclose(*ends, atol=1e-6)


def test_a_rate_that_somebody_sets_holds_from_the_next_step(train):
    class Setting(L.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 10:
                trainer.optimizers[0].param_groups[0]["lr"] = 0.0

    class NoSchedule(Adam):
        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    short, long = made(NoSchedule), made(NoSchedule)
    train(short, max_steps=10)
    train(long, callbacks=[Setting()])
    assert torch.equal(weights(short), weights(long))


def test_other_settings_that_change_are_recorded_anew_and_given_up_if_they_keep_changing(train):
    class Decay(L.Callback):
        def on_train_batch_start(self, trainer, *_):
            trainer.optimizers[0].param_groups[0]["weight_decay"] += 0.01

    ends = []
    for captured in (False, True):
        module = made(Plain)
        if captured:
            with pytest.warns(UserWarning, match="keep changing"):
                train(module, captured, max_epochs=6, callbacks=[Decay()])
        else:
            train(module, captured, max_epochs=6, callbacks=[Decay()])
        ends.append(weights(module))
    assert torch.allclose(*ends, atol=1e-6)


def test_outputs_that_a_callback_keeps_are_its_own(train):
    kept = []

    class Keeping(L.Callback):
        def on_train_batch_end(self, trainer, module, outputs, *_):
            kept.append(outputs["loss"])

    train(made(Plain), callbacks=[Keeping()])
    assert len({float(loss) for loss in kept}) > 20


def test_a_recording_that_fails_says_why_and_training_goes_on(train, monkeypatch):
    module = made(Plain)
    original = Graphs.record

    def failing(self, work):
        self.error = RuntimeError("operation not permitted when stream is capturing\nmore")
        return original(self, work)

    monkeypatch.setattr(Graphs, "record", failing)
    with pytest.warns(UserWarning, match="because recording failed: operation not permitted when stream is capturing."):
        trainer, graphs = train(module)
    assert (graphs.warm_ups, graphs.records, trainer.global_step) == (3, 0, 24)
    plain = made(Plain)
    train(plain, captured=False)
    assert torch.allclose(weights(module), weights(plain), atol=1e-6)


def test_a_checkpoint_is_as_without_capture(train, tmp_path):
    class Saving(L.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 12:
                trainer.save_checkpoint(tmp_path / "middle.ckpt")

    module = made(Plain)
    train(module, callbacks=[Saving()])
    (state,) = torch.load(tmp_path / "middle.ckpt")["optimizer_states"]
    assert isinstance(state["param_groups"][0]["lr"], float)
    resumed = made(Plain)
    trainer = L.Trainer(accelerator="cpu", max_epochs=3, logger=False, **OFF)
    trainer.fit(resumed, loader(16, 2), ckpt_path=tmp_path / "middle.ckpt")
    assert torch.allclose(weights(resumed), weights(module), atol=1e-6)


class Manual(Regression):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.error(batch))
        optimizer.step()


class Hooked(Regression):
    def on_after_backward(self):
        pass


class Odd(Regression):
    def configure_optimizers(self):
        return torch.optim.Adagrad(self.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("cls", "options", "words"),
    [
        (Manual, {}, "optimizes manually"),
        (Hooked, {}, "on_after_backward would run only while recording"),
        (Odd, {}, "Adagrad has no capturable form"),
        (Regression, {"accumulate_grad_batches": 2}, "gradients are accumulated"),
        (Regression, {"detect_anomaly": True}, "detect_anomaly looks into each step"),
    ],
)
def test_what_can_t_be_captured_says_why(train, cls, options, words):
    with pytest.warns(UserWarning, match=words):
        trainer, graphs = train(made(cls), **options)
    assert graphs.records == 0
    assert trainer.global_step > 0


def test_the_cpu_says_that_it_has_no_graphs(train):
    with pytest.warns(UserWarning, match="the device is cpu, and only CUDA has graphs"):
        train(made(Regression), has_graphs=False)
