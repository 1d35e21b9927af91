"""ModelCheckpoint in real fits: which files there are, what they hold, and that none is lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import yaml

from lit_studio.base.errors import CheckpointError, InvalidTypeError, InvalidValueError, MisconfigurationException
from lit_studio.base.events import CheckpointSaved
from lit_studio.callbacks import Callback, ModelCheckpoint
from lit_studio.trainer.checkpoint import read_checkpoint
from tests.unit.callbacks.models import Scripted, fit


class Saves:
    """An observer that keeps the events of saving."""

    def __init__(self):
        self.events = []

    def observe(self, event):
        if isinstance(event, CheckpointSaved):
            self.events.append((event.step, event.reason, event.best, Path(event.path).name))

    def close(self):
        pass


def files(callback):
    return sorted(file.name for file in Path(callback.dirpath).iterdir())


def step_of(path):
    return read_checkpoint(path)["global_step"]


class TestWhen:
    def test_by_default_the_newest_after_each_epoch(self, tmp_path):
        callback = ModelCheckpoint()
        trainer = fit(tmp_path, callback)
        assert callback.dirpath == str(tmp_path / "lightning_logs" / "version_0" / "checkpoints")
        assert files(callback) == ["epoch=1-step=8.ckpt"]
        assert callback.best_model_path == str(Path(callback.dirpath) / "epoch=1-step=8.ckpt")
        assert callback.best_model_score is None
        assert trainer.checkpoint_callback is callback

    def test_without_a_logger_in_the_root(self, tmp_path):
        callback = ModelCheckpoint(save_top_k=-1)
        fit(tmp_path, callback, logger=False, val=False)
        assert callback.dirpath == str(tmp_path / "checkpoints")
        assert files(callback) == ["epoch=0-step=4.ckpt", "epoch=1-step=8.ckpt"]

    def test_every_so_many_steps(self, tmp_path):
        callback = ModelCheckpoint(every_n_train_steps=3, save_top_k=-1)
        fit(tmp_path, callback, max_epochs=3)
        assert files(callback) == [
            "epoch=0-step=3.ckpt",
            "epoch=1-step=6.ckpt",
            "epoch=2-step=12.ckpt",
            "epoch=2-step=9.ckpt",
        ]

    def test_every_so_many_epochs(self, tmp_path):
        callback = ModelCheckpoint(every_n_epochs=2, save_top_k=-1)
        fit(tmp_path, callback, max_epochs=5)
        assert files(callback) == ["epoch=1-step=8.ckpt", "epoch=3-step=16.ckpt"]

    def test_by_time(self, tmp_path):
        class Slow(Callback):
            def on_train_batch_start(self, *args):
                time.sleep(0.03)

        callback = ModelCheckpoint(train_time_interval=timedelta(seconds=0.1), save_top_k=-1)
        fit(tmp_path, Slow(), callback, batches=12, max_epochs=1)
        assert 2 <= len(files(callback)) <= 4

    def test_several_validations_an_epoch(self, tmp_path):
        callback = ModelCheckpoint(save_top_k=-1)
        fit(tmp_path, callback, val_check_interval=2, max_epochs=1)
        assert files(callback) == ["epoch=0-step=2.ckpt", "epoch=0-step=4.ckpt"]

    def test_validation_every_other_epoch(self, tmp_path):
        callback = ModelCheckpoint(save_top_k=-1)
        fit(tmp_path, callback, check_val_every_n_epoch=2, max_epochs=4)
        assert files(callback) == ["epoch=1-step=8.ckpt", "epoch=3-step=16.ckpt"]

    def test_at_validation_instead_of_the_epoch_s_end(self, tmp_path):
        seen = []

        class Watch(ModelCheckpoint):
            def on_train_epoch_end(self, trainer, pl_module):
                seen.append(files(self))
                super().on_train_epoch_end(trainer, pl_module)

        fit(tmp_path, Watch(save_on_train_epoch_end=False, save_top_k=-1))
        assert seen == [["epoch=0-step=4.ckpt"], ["epoch=0-step=4.ckpt", "epoch=1-step=8.ckpt"]]

    def test_a_step_that_validates_waits_for_its_metric(self, tmp_path):
        callback = ModelCheckpoint(monitor="val", every_n_train_steps=2, save_top_k=-1, filename="{step}-{val:.0f}")
        fit(tmp_path, callback, module=Scripted([5, 4, 6, 3]), val_check_interval=2)
        assert files(callback) == ["step=2-val=5.ckpt", "step=4-val=4.ckpt", "step=6-val=6.ckpt", "step=8-val=3.ckpt"]
        assert float(callback.best_model_score) == 3

    def test_a_step_before_the_first_metric_waits_for_it(self, tmp_path):
        callback = ModelCheckpoint(monitor="val", every_n_train_steps=3, save_top_k=-1, filename="{step}-{val:.0f}")
        fit(tmp_path, callback, module=Scripted([5, 4]))
        assert files(callback) == ["step=4-val=5.ckpt", "step=6-val=5.ckpt"]

    def test_nothing_in_a_dry_run_nor_in_the_sanity_check(self, tmp_path):
        callback = ModelCheckpoint(save_last=True)
        fit(tmp_path, callback, fast_dev_run=True)
        assert not list(tmp_path.rglob("*.ckpt"))
        callback = ModelCheckpoint(monitor="val_loss", save_top_k=-1, dirpath=tmp_path / "c")
        fit(tmp_path, callback, num_sanity_val_steps=1, max_epochs=1)
        assert files(callback) == ["epoch=0-step=4.ckpt"]


class TestBest:
    @pytest.mark.parametrize(
        ("mode", "kept", "best", "worst"),
        [("min", [3, 2, 1], 1, 3), ("max", [5, 4, 6], 6, 4)],
    )
    def test_the_best_three(self, tmp_path, mode, kept, best, worst):
        callback = ModelCheckpoint(monitor="val", save_top_k=3, mode=mode, filename="{epoch}-{val:.0f}")
        fit(tmp_path, callback, module=Scripted([5, 4, 6, 3, 2, 1]), max_epochs=6)
        script = [5, 4, 6, 3, 2, 1]
        assert files(callback) == sorted(f"epoch={script.index(v)}-val={v}.ckpt" for v in kept)
        assert callback.best_model_path.endswith(f"val={best}.ckpt")
        assert callback.kth_best_model_path.endswith(f"val={worst}.ckpt")
        assert float(callback.best_model_score) == best
        assert float(callback.kth_value) == worst
        assert sorted(map(float, callback.best_k_models.values())) == sorted(kept)

    def test_nan_is_worse_than_anything(self, tmp_path):
        callback = ModelCheckpoint(monitor="val", filename="{epoch}")
        with pytest.warns(UserWarning, match="NaN"):
            fit(tmp_path, callback, module=Scripted([float("nan"), 9, float("nan")]), max_epochs=3)
        assert files(callback) == ["epoch=1.ckpt"]

    def test_events_tell_what_was_saved(self, tmp_path):
        saves = Saves()
        callback = ModelCheckpoint(monitor="val", save_top_k=2, save_last=True, filename="{epoch}")
        fit(tmp_path, callback, module=Scripted([5, 7, 9, 4]), max_epochs=4, observers=[saves])
        assert saves.events == [
            (4, "monitor", True, "epoch=0.ckpt"),
            (8, "monitor", False, "epoch=1.ckpt"),
            (12, "last", False, "last.ckpt"),
            (16, "monitor", True, "epoch=3.ckpt"),
        ]

    def test_an_older_file_goes_only_when_the_new_one_and_last_are_there(self, tmp_path):
        order = []

        class Watch(ModelCheckpoint):
            def _remove(self, trainer, path):
                order.append((Path(path).name, files(self)))
                super()._remove(trainer, path)

        callback = Watch(monitor="val", save_last=True, filename="{epoch}")
        fit(tmp_path, callback, module=Scripted([3, 2, 1]), max_epochs=3)
        assert order == [
            ("epoch=0.ckpt", ["epoch=0.ckpt", "epoch=1.ckpt", "last.ckpt"]),
            ("epoch=1.ckpt", ["epoch=1.ckpt", "epoch=2.ckpt", "last.ckpt"]),
        ]
        assert step_of(Path(callback.dirpath) / "last.ckpt") == 12

    def test_a_full_disk_keeps_the_older_best(self, tmp_path, monkeypatch):
        callback = ModelCheckpoint(monitor="val", save_last=True, filename="{epoch}")

        class Fill(Callback):
            def on_train_epoch_start(self, trainer, pl_module):
                if trainer.current_epoch == 1:
                    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100})())

        with pytest.raises(CheckpointError, match="no space"):
            fit(tmp_path, Fill(), callback, module=Scripted([3, 2]))
        assert files(callback) == ["epoch=0.ckpt", "last.ckpt"]
        assert Path(callback.best_model_path).name == "epoch=0.ckpt"
        assert list(map(float, callback.best_k_models.values())) == [3]
        assert step_of(callback.best_model_path) == 4

    def test_a_metric_that_never_comes(self, tmp_path):
        with pytest.raises(MisconfigurationException, match=r"monitor='nope'(.|\n)*self\.log\('nope'"):
            fit(tmp_path, ModelCheckpoint(monitor="nope"))
        with pytest.warns(UserWarning, match="could not find the monitored key"):
            fit(tmp_path, ModelCheckpoint(monitor="nope"), val=False)

    def test_top_k_of_none_and_of_all(self, tmp_path):
        callback = ModelCheckpoint(monitor="val", save_top_k=0, save_last=True)
        fit(tmp_path, callback, module=Scripted([1, 2]))
        assert files(callback) == ["last.ckpt"]
        callback = ModelCheckpoint(monitor="val", save_top_k=-1)
        fit(tmp_path, callback, module=Scripted([1, 2]))
        assert len(files(callback)) == 2
        callback.to_yaml()
        scores = yaml.safe_load((Path(callback.dirpath) / "best_k_models.yaml").read_text())
        assert list(scores.values()) == [1, 2]


class TestLast:
    @pytest.mark.parametrize("save_last", [True, "link"])
    def test_it_is_always_the_newest(self, tmp_path, save_last):
        class Watch(Callback):
            def on_train_epoch_start(self, trainer, pl_module):
                if trainer.current_epoch:
                    seen.append(step_of(last()))

        def last():
            return tmp_path / "c" / "last.ckpt"

        seen = []
        callback = ModelCheckpoint(tmp_path / "c", "{epoch}", monitor="val", save_last=save_last)
        fit(tmp_path, Watch(), callback, module=Scripted([3, 5, 2, 9]), max_epochs=4)
        assert seen == [4, 8, 12]
        assert step_of(last()) == 16
        assert files(callback) == ["epoch=2.ckpt", "last.ckpt"]
        assert step_of(callback.best_model_path) == 12
        assert callback.last_model_path == str(last())

    def test_a_link_points_at_the_file_that_was_saved(self, tmp_path):
        callback = ModelCheckpoint(tmp_path / "c", "{epoch}", save_last="link")
        fit(tmp_path, callback)
        assert (tmp_path / "c" / "last.ckpt").is_symlink()
        assert str((tmp_path / "c" / "last.ckpt").readlink()) == "epoch=1.ckpt"

    def test_another_run_s_last_is_set_aside_not_overwritten(self, tmp_path):
        for number in range(3):
            callback = ModelCheckpoint(tmp_path / "c", f"run{number}", save_last=True)
            fit(tmp_path, callback, max_epochs=number + 1)
        assert step_of(tmp_path / "c" / "last.ckpt") == 12
        assert step_of(tmp_path / "c" / "last-v1.ckpt") == 4
        assert step_of(tmp_path / "c" / "last-v2.ckpt") == 8

    def test_resuming_from_last_goes_on_in_the_same_file(self, tmp_path):
        fit(tmp_path, ModelCheckpoint(tmp_path / "c", save_last=True))
        callback = ModelCheckpoint(tmp_path / "c", save_last=True)
        fit(tmp_path, callback, max_epochs=3, ckpt_path=tmp_path / "c" / "last.ckpt")
        assert files(callback) == ["epoch=2-step=12.ckpt", "last.ckpt"]
        assert step_of(tmp_path / "c" / "last.ckpt") == 12

    def test_its_name_can_hold_metrics(self, tmp_path):
        class Named(ModelCheckpoint):
            CHECKPOINT_NAME_LAST = "{epoch}-last"

        callback = Named(tmp_path / "c", save_last=True)
        trainer = fit(tmp_path, callback)
        assert files(callback) == ["epoch=1-last.ckpt", "epoch=1-step=8.ckpt"]
        assert callback._find_last_checkpoints(trainer) == {str(tmp_path / "c" / "epoch=1-last.ckpt")}

    def test_saving_now_keeps_it_the_newest(self, tmp_path):
        class Ask(Callback):
            def on_train_batch_end(self, trainer, *args):
                if trainer.global_step == 6:
                    trainer.checkpoint_callback.save_now(trainer, "user")
                    seen.append(step_of(tmp_path / "c" / "last.ckpt"))

        seen, saves = [], Saves()
        fit(tmp_path, Ask(), ModelCheckpoint(tmp_path / "c", save_last=True), max_epochs=2, observers=[saves])
        assert seen == [6]
        assert (6, "user", False, "epoch=1-step=6.ckpt") in saves.events
        assert step_of(tmp_path / "c" / "epoch=1-step=6.ckpt") == 6


class TestNames:
    @pytest.mark.parametrize(
        ("template", "insert", "expected"),
        [
            (None, True, "epoch=3-step=7"),
            ("{epoch:02d}-{val_loss:.2f}", True, "epoch=03-val_loss=0.12"),
            ("e{epoch:02d}-{val_loss:.2f}", False, "e03-0.12"),
            ("{missing}-x", True, "missing=0-x"),
            ("{val/acc:.1f}", True, "val/acc=0.9"),
            ("{a.b}", False, "2"),
            ("plain", True, "plain"),
        ],
    )
    def test_templates(self, template, insert, expected):
        metrics = {"epoch": 3, "step": 7, "val_loss": torch.tensor(0.123), "val/acc": torch.tensor(0.91), "a.b": 2}
        callback = ModelCheckpoint(filename=template, auto_insert_metric_name=insert)
        assert callback.format_checkpoint_name(metrics) == f"{expected}.ckpt"

    def test_version_prefix_and_folder(self, tmp_path):
        callback = ModelCheckpoint(tmp_path, "{epoch}")
        assert callback.format_checkpoint_name({"epoch": 1}, ver=2) == str(tmp_path / "epoch=1-v2.ckpt")
        assert callback.format_checkpoint_name({"epoch": 1}, prefix="swa") == str(tmp_path / "swa-epoch=1.ckpt")

    def test_class_attributes_change_them(self):
        class Own(ModelCheckpoint):
            CHECKPOINT_JOIN_CHAR = "_"
            CHECKPOINT_EQUALS_CHAR = ":"
            FILE_EXTENSION = ".pt"

        assert Own().format_checkpoint_name({"epoch": 1, "step": 2}) == "epoch:1_step:2.pt"

    def test_a_format_that_does_not_fit_is_said(self):
        with pytest.raises(InvalidValueError, match=r"can't be made.*\{loss:d\}"):
            ModelCheckpoint(filename="{loss:d}").format_checkpoint_name({"loss": torch.tensor(0.5)})

    def test_names_that_exist_get_a_version_unless_told_otherwise(self, tmp_path):
        for _ in range(2):
            callback = ModelCheckpoint(tmp_path / "c", "same", save_top_k=-1)
            fit(tmp_path, callback)
        assert files(callback) == ["same-v1.ckpt", "same-v2.ckpt", "same-v3.ckpt", "same.ckpt"]
        callback = ModelCheckpoint(tmp_path / "d", "same", save_top_k=-1, enable_version_counter=False)
        fit(tmp_path, callback)
        assert files(callback) == ["same.ckpt"]


class TestResume:
    def test_the_best_ones_are_taken_up_again(self, tmp_path):
        first = ModelCheckpoint(tmp_path / "c", "{epoch}", monitor="val", save_top_k=2)
        fit(tmp_path, first, module=Scripted([3, 2]))
        second = ModelCheckpoint(tmp_path / "c", "{epoch}", monitor="val", save_top_k=2)
        fit(tmp_path, second, module=Scripted([9, 1]), max_epochs=4, ckpt_path=tmp_path / "c" / "epoch=1.ckpt")
        assert files(second) == ["epoch=1.ckpt", "epoch=3.ckpt"]
        assert second.best_model_path.endswith("epoch=3.ckpt")

    def test_in_another_folder_only_the_path_of_the_best(self, tmp_path):
        first = ModelCheckpoint(tmp_path / "c", "{epoch}", monitor="val")
        fit(tmp_path, first, module=Scripted([1, 2]))
        second = ModelCheckpoint(tmp_path / "d", "{epoch}", monitor="val")
        seen = []

        class Watch(Callback):
            def on_train_start(self, trainer, pl_module):
                seen.append((second.best_model_path, dict(second.best_k_models)))

        with pytest.warns(UserWarning, match="dirpath has changed"):
            fit(tmp_path, Watch(), second, module=Scripted([9]), max_epochs=2, ckpt_path=first.best_model_path)
        assert seen == [(first.best_model_path, {})]
        assert files(first) == ["epoch=0.ckpt"], "a file of another folder is never removed"

    def test_the_file_that_is_resumed_from_is_never_removed(self, tmp_path):
        first = ModelCheckpoint(tmp_path / "c", "{epoch}", monitor="val")
        fit(tmp_path, first, module=Scripted([5]), max_epochs=1)
        second = ModelCheckpoint(tmp_path / "c", "{epoch}", monitor="val")
        fit(tmp_path, second, module=Scripted([4]), max_epochs=2, ckpt_path=first.best_model_path)
        assert files(second) == ["epoch=0.ckpt", "epoch=1.ckpt"]

    def test_the_state_is_plain(self, tmp_path):
        callback = ModelCheckpoint(monitor="val", save_top_k=2, save_last=True)
        fit(tmp_path, callback, module=Scripted([5, 4]))
        state = read_checkpoint(callback.best_model_path, weights_only=True)["callbacks"]
        key = (
            "ModelCheckpoint{'monitor': 'val', 'mode': 'min', 'every_n_train_steps': 0, 'every_n_epochs': 1, "
            "'train_time_interval': None}"
        )
        assert list(state) == [key]
        assert state[key]["best_model_path"] == callback.best_model_path
        assert state[key]["last_model_path"] == callback.last_model_path

    def test_a_second_fit_saves_its_own(self, tmp_path):
        callback = ModelCheckpoint(tmp_path / "c", save_top_k=-1)
        fit(tmp_path, callback, max_epochs=1)
        fit(tmp_path, callback, max_epochs=1)
        assert files(callback) == ["epoch=0-step=4-v1.ckpt", "epoch=0-step=4.ckpt"]
        once = ModelCheckpoint(tmp_path / "d")
        fit(tmp_path, once, max_epochs=1)
        fit(tmp_path, once, max_epochs=1)
        assert files(once) == ["epoch=0-step=4.ckpt"]


class TestEnds:
    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_saving_on_an_exception(self, tmp_path, error):
        class Fail(Callback):
            def on_train_batch_end(self, trainer, *args):
                if trainer.global_step == 3:
                    raise error

        saves = Saves()
        callback = ModelCheckpoint(tmp_path / "c", save_on_exception=True, save_last=True)
        with pytest.raises((error, SystemExit)):
            fit(tmp_path, Fail(), callback, observers=[saves])
        assert saves.events == [(3, "exception", False, "epoch=0-step=3.ckpt")]
        assert step_of(tmp_path / "c" / "last.ckpt") == 3

    def test_a_killed_run_leaves_whole_checkpoints(self, tmp_path):
        code = (
            "import sys, torch\n"
            "from tests.unit.callbacks.models import Scripted, fit\n"
            "from lit_studio.callbacks import LambdaCallback, ModelCheckpoint\n"
            "module = Scripted(); module.ballast = torch.nn.Parameter(torch.zeros(300_000))\n"
            "saving = ModelCheckpoint(sys.argv[1] + '/c', '{step}', save_last=True, every_n_train_steps=1)\n"
            "tell = LambdaCallback(on_train_batch_start=lambda *args: print('step', flush=True))\n"
            "fit(sys.argv[1], tell, saving, module=module, val=False, max_epochs=-1)\n"
        )
        command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
        root = Path(__file__).parents[3]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root)
        try:
            steps = [run.stdout.readline() for _ in range(40)]
            time.sleep(random.random() / 100)
        finally:
            run.send_signal(signal.SIGKILL)
            run.wait()
            run.stdout.close()
        assert steps == [b"step\n"] * 40
        found = [file for file in (tmp_path / "c").glob("*.ckpt") if file.name != "last.ckpt"]
        assert len(found) in (1, 2), "the newest, and the one before if it was killed in between"
        steps = [step_of(file) for file in found]
        assert max(steps) >= 39
        assert step_of(tmp_path / "c" / "last.ckpt") in steps

    def test_weights_only(self, tmp_path):
        callback = ModelCheckpoint(save_weights_only=True)
        fit(tmp_path, callback)
        content = read_checkpoint(callback.best_model_path)
        assert "state_dict" in content
        assert "optimizer_states" not in content

    def test_loggers_are_told(self, tmp_path):
        from lit_studio.loggers import CSVLogger

        class Told(CSVLogger):
            def after_save_checkpoint(self, checkpoint_callback):
                told.append(Path(checkpoint_callback.best_model_path).name)

        told = []
        fit(tmp_path, ModelCheckpoint(), logger=Told(tmp_path))
        assert told == ["epoch=0-step=4.ckpt", "epoch=1-step=8.ckpt"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"save_top_k": -2},
        {"save_top_k": 3},
        {"mode": "best"},
        {"every_n_train_steps": -1},
        {"every_n_epochs": -1},
        {"every_n_train_steps": 1, "every_n_epochs": 1},
        {"every_n_epochs": 1, "train_time_interval": timedelta(seconds=1)},
        {"save_last": "copy"},
    ],
)
def test_arguments_that_make_no_sense(arguments):
    with pytest.raises(MisconfigurationException):
        ModelCheckpoint(**arguments)


def test_an_interval_must_be_a_timedelta():
    with pytest.raises(InvalidTypeError, match="timedelta"):
        ModelCheckpoint(train_time_interval=5)


def test_without_a_trigger_by_batch_no_step_calls_it():
    import datetime

    class Mine(ModelCheckpoint):
        def on_train_batch_end(self, *args):
            super().on_train_batch_end(*args)

    hook = "on_train_batch_end"
    assert ModelCheckpoint()._is_idle_in(hook)
    assert ModelCheckpoint(every_n_epochs=2)._is_idle_in(hook)
    assert not ModelCheckpoint(every_n_train_steps=3)._is_idle_in(hook)
    assert not ModelCheckpoint(train_time_interval=datetime.timedelta(seconds=1))._is_idle_in(hook)
    assert not Mine()._is_idle_in(hook)
    assert not ModelCheckpoint()._is_idle_in("on_train_epoch_end")
