"""Summaries, prediction writers, device statistics, checkpoints after errors, averaging and finetuning."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lit_studio.base.errors import InvalidTypeError, InvalidValueError, MisconfigurationException
from lit_studio.callbacks import (
    BackboneFinetuning,
    BaseFinetuning,
    BasePredictionWriter,
    Callback,
    DeviceStatsMonitor,
    EMAWeightAveraging,
    LambdaCallback,
    ModelCheckpoint,
    ModelSummary,
    OnExceptionCheckpoint,
    RichModelSummary,
    WeightAveraging,
)
from lit_studio.callbacks.summary import ModelSummary as Summary
from lit_studio.callbacks.summary import human_count, summarize
from lit_studio.trainer.checkpoint import read_checkpoint
from lit_studio.trainer.trainer import Trainer
from tests.unit.callbacks.models import Scripted, fit, loader

pytestmark = pytest.mark.filterwarnings("ignore:The dirpath has changed")  # a resume with another logger's folder


class Net(nn.Module):
    """Two levels, a frozen layer, a parameter of its own, a layer that forward never enters."""

    def __init__(self, example=None):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.Dropout(0.5))
        self.head = nn.Linear(64, 10)
        self.head.requires_grad_(False)
        self.unused = nn.Linear(2, 2).eval()
        self.scale = nn.Parameter(torch.ones(5))
        self.example_input_array = example

    def forward(self, x):
        return self.head(self.body(x))


class TestSummary:
    def test_numbers(self):
        made = Summary(Net(), max_depth=1)
        assert made.layer_names == ["body", "head", "unused"]
        assert made.param_nums == [32 * 64 + 64 + 128, 650, 6]
        assert made.total_parameters == sum(made.param_nums) + 5
        assert made.trainable_parameters == made.total_parameters - 650
        assert made.total_params_outside == 5
        assert made.total_training_modes == {"train": 5, "eval": 1}
        assert made.model_size == pytest.approx((made.total_parameters + 128) * 4e-6 + 8e-6)  # and BatchNorm's buffers
        assert "other params" in str(made)
        assert made.total_flops == 0

    def test_depths(self):
        assert Summary(Net(), 0).layers == []
        assert "Trainable params" in str(Summary(Net(), 0))
        assert len(Summary(Net(), -1).layers) == 6
        assert Summary(Net(), 2).layer_names[1] == "body.0"
        with pytest.raises(InvalidValueError, match="max_depth"):
            Summary(Net(), -2)

    def test_sizes_leave_the_model_as_it_was(self):
        net = Net(torch.randn(4, 32))
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        torch.manual_seed(1)
        expected = torch.rand(1)
        torch.manual_seed(1)
        made = summarize(net)
        assert torch.equal(torch.rand(1), expected)
        assert made.in_sizes == [[4, 32], [4, 64], "?"]
        assert made.out_sizes == [[4, 64], [4, 10], "?"]
        assert made.total_flops == 2 * 4 * (32 * 64 + 64 * 10)
        assert [sum(counts.values()) for counts in made.flop_counts.values()] == [2 * 4 * 32 * 64, 2 * 4 * 64 * 10, 0]
        assert dict(made.columns())["FLOPs"] == ["16.4 K", "5.1 K", "0", "n/a"]
        assert net.training
        assert not net.unused.training
        assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())

    @pytest.mark.parametrize(
        ("make", "size"),
        [
            (lambda x: (x, x), [[4, 32], [4, 32]]),
            (lambda x: {"a": x, "b": x}, [[4, 32], [4, 32]]),
            (lambda x: x, [4, 32]),
        ],
    )
    def test_examples_of_any_form_and_type(self, make, size):
        class Outer(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = nn.Bilinear(32, 32, 2).double()
                self.example_input_array = make(torch.randn(4, 32))

            def forward(self, a, b=None):
                return self.inner(a, a if b is None else b)

        assert summarize(Outer()).out_sizes == [[4, 2]]

    def test_a_forward_that_fails_is_a_warning(self):
        net = Net(torch.randn(3))
        with pytest.warns(UserWarning, match="sizes are unknown"):
            made = summarize(net)
        assert made.in_sizes == ["?", "?", "?"]
        assert net.training

    def test_tied_and_lazy_parameters(self):
        net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.LazyLinear(5))
        net[1].weight = net[0].weight
        assert Summary(net).total_parameters == 9 + 3 + 3
        assert Summary(net).has_lazy

    def test_counts_for_people(self):
        numbers = (0, 999, 1000, 1234, 99_950, 123_456, 999_999, 25_557_032, 7_000_000_000)
        words = ["0", "999", "1.0 K", "1.2 K", "100.0 K", "123 K", "1.0 M", "25.6 M", "7.0 B"]
        assert [human_count(n) for n in numbers] == words

    def test_callbacks_show_it(self, tmp_path, caplog):
        with caplog.at_level(logging.INFO, "lit_studio"):
            fit(tmp_path, ModelSummary(), enable_model_summary=True, max_epochs=1)
        assert "0 | layer | Linear | 5      | train" in caplog.text
        from rich.console import Console

        console = Console(file=io.StringIO(), width=100)
        fit(tmp_path, RichModelSummary(console=console), enable_model_summary=True, max_epochs=1)
        text = console.file.getvalue()
        assert "layer" in text
        assert "Trainable params" in text


class Writer(BasePredictionWriter):
    def __init__(self, interval):
        super().__init__(interval)
        self.batches, self.epochs = [], []

    def write_on_batch_end(self, trainer, pl_module, prediction, batch_indices, batch, batch_idx, dataloader_idx):
        self.batches.append((dataloader_idx, batch_idx, batch_indices, tuple(prediction.shape)))

    def write_on_epoch_end(self, trainer, pl_module, predictions, batch_indices):
        self.epochs.append((predictions, batch_indices))


class TestPredictionWriter:
    def predict(self, tmp_path, writer, loaders, **kwargs):
        trainer = Trainer(
            default_root_dir=tmp_path, accelerator="cpu", callbacks=[writer], logger=False, enable_progress_bar=False
        )
        return trainer.predict(Scripted(), loaders, **kwargs)

    def test_each_batch_with_its_samples(self, tmp_path):
        writer = Writer("batch")
        assert self.predict(tmp_path, writer, loader(5), return_predictions=False) in (None, [])
        assert writer.batches == [(0, 0, [0, 1], (2, 1)), (0, 1, [2, 3], (2, 1)), (0, 2, [4], (1, 1))]
        assert writer.epochs == []

    @pytest.mark.filterwarnings("ignore:.*has shuffling enabled")
    @pytest.mark.parametrize("workers", [0, 2])
    def test_shuffled_samples_are_the_ones_in_the_batch(self, tmp_path, workers):
        class Check(BasePredictionWriter):
            def write_on_batch_end(
                self, trainer, pl_module, prediction, batch_indices, batch, batch_idx, dataloader_idx
            ):
                assert torch.equal(batch[0], torch.stack([data.dataset[i][0] for i in batch_indices]))
                seen.extend(batch_indices)

        seen = []
        data = loader(11, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
        before = data.batch_sampler
        for _ in range(2):
            self.predict(tmp_path, Check("batch"), data)
        assert data.batch_sampler is before
        assert sorted(seen) == sorted([*range(11), *range(11)])

    def test_all_at_the_end_nested_by_loader_and_batch(self, tmp_path):
        writer = Writer("batch_and_epoch")
        returned = self.predict(tmp_path, writer, [loader(4), loader(2)])
        [(predictions, indices)] = writer.epochs
        assert indices == [[[0, 1], [2, 3]], [[0, 1]]]
        assert [[tuple(p.shape) for p in batch] for batch in predictions] == [[(2, 1), (2, 1)], [(2, 1)]]
        assert len(returned) == 2
        assert len(writer.batches) == 3

    def test_an_epoch_writer_gets_predictions_that_nobody_returns(self, tmp_path):
        writer = Writer("epoch")
        self.predict(tmp_path, writer, loader(4), return_predictions=False)
        [(predictions, indices)] = writer.epochs
        assert len(predictions) == 2
        assert indices == [[[0, 1], [2, 3]]]

    def test_samples_without_places(self, tmp_path):
        class Stream(torch.utils.data.IterableDataset):
            def __iter__(self):
                yield from loader(4).dataset

        writer = Writer("batch")
        self.predict(tmp_path, writer, DataLoader(Stream(), batch_size=2))
        assert [indices for _, _, indices, _ in writer.batches] == [None, None]
        writer = Writer("batch")
        self.predict(tmp_path, writer, DataLoader(loader(2).dataset, batch_size=None))
        assert [indices for _, _, indices, _ in writer.batches] == [[0], [1]]

    def test_unknown_interval(self):
        with pytest.raises(MisconfigurationException, match="'batch', 'epoch', 'batch_and_epoch'"):
            BasePredictionWriter("step")


class TestDeviceStats:
    def test_the_host_is_logged(self, tmp_path):
        trainer = fit(tmp_path, DeviceStatsMonitor(), log_every_n_steps=2, max_epochs=1)
        with (Path(trainer.log_dir) / "metrics.csv").open(newline="") as file:
            rows = [
                row for row in csv.DictReader(file) if row["DeviceStatsMonitor.on_train_batch_start/cpu_vm_percent"]
            ]
        assert [row["step"] for row in rows] == ["1", "3"]
        assert 0 < float(rows[0]["DeviceStatsMonitor.on_train_batch_start/cpu_vm_percent"]) <= 100

    def test_the_host_can_be_left_out_and_a_logger_is_needed(self, tmp_path):
        trainer = fit(tmp_path, DeviceStatsMonitor(cpu_stats=False), log_every_n_steps=1, max_epochs=1)
        assert "DeviceStats" not in (Path(trainer.log_dir) / "metrics.csv").read_text()
        with pytest.raises(MisconfigurationException, match="no logger"):
            fit(tmp_path, DeviceStatsMonitor(), logger=False)


class Fail(Callback):
    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == 3:
            raise ValueError("planted")


class TestOnException:
    def test_saved_after_an_error_and_removed_after_success(self, tmp_path):
        callback = OnExceptionCheckpoint(tmp_path / "e")
        with pytest.raises(ValueError, match="planted"):
            fit(tmp_path, Fail(), callback)
        assert read_checkpoint(tmp_path / "e" / "on_exception.ckpt")["global_step"] == 3
        trainer = fit(tmp_path, callback, ckpt_path=callback.ckpt_path)
        assert trainer.global_step == 8
        assert not Path(callback.ckpt_path).exists()

    def test_a_save_that_fails_does_not_hide_the_error(self, tmp_path, monkeypatch):
        monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0})())
        callbacks = [OnExceptionCheckpoint(tmp_path), ModelCheckpoint(tmp_path, save_on_exception=True)]
        for callback in callbacks:
            with (
                pytest.raises(ValueError, match="planted"),
                pytest.warns(UserWarning, match="after ValueError.*no space"),
            ):
                fit(tmp_path, Fail(), callback)

    def test_a_name_is_needed(self):
        with pytest.raises(InvalidValueError, match="empty"):
            OnExceptionCheckpoint(".", filename="")


class Normed(Scripted):
    """With BatchNorm, so that there are buffers, and a tied weight."""

    def __init__(self):
        super().__init__(lr=0.1)
        torch.manual_seed(0)
        self.norm = nn.BatchNorm1d(4)
        self.layer = nn.Linear(4, 1)
        self.tied = self.layer

    def forward(self, x):
        return self.layer(self.norm(x))


def weights(module):
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def close(one, other):
    return all(torch.allclose(one[name].float(), other[name].float(), atol=1e-6) for name in one)


class TestWeightAveraging:
    def record(self, store):
        return LambdaCallback(on_train_batch_end=lambda trainer, module, *args: store.append(weights(module)))

    def test_the_mean_of_all_steps(self, tmp_path):
        store, module = [], Normed()
        fit(tmp_path, self.record(store), WeightAveraging(), module=module)
        for name in ("layer.weight", "norm.weight", "norm.running_mean"):
            mean = torch.stack([step[name] for step in store]).mean(0)
            assert torch.allclose(module.state_dict()[name], mean, atol=1e-6)
        assert module.state_dict()["norm.num_batches_tracked"] == 8

    def test_the_moving_average_and_validation_with_it(self, tmp_path):
        store, validated, module = [], [], Normed()
        watch = LambdaCallback(
            on_train_batch_end=lambda trainer, module, *args: store.append(weights(module)),
            on_validation_batch_end=lambda trainer, module, *args: validated.append(weights(module)),
            on_train_epoch_start=lambda trainer, module: store and trained.append(close(weights(module), store[-1])),
        )
        trained = []
        fit(tmp_path, EMAWeightAveraging(decay=0.5), watch, module=module)
        average = store[0]["layer.weight"]
        for step in store[1:]:
            average = 0.5 * average + 0.5 * step["layer.weight"]
        assert torch.allclose(module.layer.weight, average, atol=1e-6)
        assert torch.allclose(validated[-1]["layer.weight"], average, atol=1e-6)
        assert trained == [True]

    def test_a_checkpoint_holds_both_and_a_resume_equals_the_unbroken_run(self, tmp_path):
        whole = Normed()
        fit(tmp_path, EMAWeightAveraging(decay=0.9), module=whole, max_epochs=4)
        saving = ModelCheckpoint(tmp_path / "c", "{epoch}", save_top_k=-1)
        fit(tmp_path, EMAWeightAveraging(decay=0.9), saving, module=Normed(), max_epochs=2)
        content = read_checkpoint(tmp_path / "c" / "epoch=1.ckpt")
        assert not close(content["state_dict"], content["current_model_state"])
        assert torch.equal(content["state_dict"]["tied.weight"], content["state_dict"]["layer.weight"])
        assert int(content["averaging_state"]["n_averaged"]) == 8
        resumed = Normed()
        fit(
            tmp_path,
            EMAWeightAveraging(decay=0.9),
            module=resumed,
            max_epochs=4,
            ckpt_path=tmp_path / "c" / "epoch=1.ckpt",
        )
        assert close(weights(resumed), weights(whole))

    def test_testing_a_checkpoint_uses_the_average(self, tmp_path):
        saving = ModelCheckpoint(tmp_path / "c")
        trainer = fit(tmp_path, EMAWeightAveraging(decay=0.9), saving, module=Normed())
        module = Normed()
        trainer.test(module, loader(4), ckpt_path=saving.best_model_path, verbose=False)
        assert close(weights(module), read_checkpoint(saving.best_model_path)["state_dict"])

    @pytest.mark.parametrize(
        ("arguments", "steps", "epochs"),
        [
            ({}, list(range(9)), []),
            ({"update_every_n_steps": 3}, [0, 3, 6], []),
            ({"update_starting_at_step": 4, "update_every_n_steps": 3}, [6], []),
            ({"update_starting_at_epoch": 2}, list(range(9)), [2, 3]),
        ],
    )
    def test_when_it_updates(self, arguments, steps, epochs):
        callback = EMAWeightAveraging(**arguments)
        assert [step for step in range(9) if callback.should_update(step_idx=step)] == steps
        assert [epoch for epoch in range(4) if callback.should_update(epoch_idx=epoch)] == epochs

    def test_accumulation_updates_once_a_step(self, tmp_path):
        callback = WeightAveraging()
        fit(tmp_path, callback, module=Normed(), accumulate_grad_batches=2, max_epochs=1)
        assert callback._count == 2

    def test_an_error_inside_validation_gives_the_weights_back(self, tmp_path):
        store, module = [], Normed()

        class FailIn(Callback):
            def on_validation_batch_end(self, *args):
                raise ValueError("planted")

        with pytest.raises(ValueError, match="planted"):
            fit(tmp_path, self.record(store), EMAWeightAveraging(decay=0.5), FailIn(), module=module)
        assert close(weights(module), store[-1])

    def test_other_functions_and_other_devices(self, tmp_path):
        last = Normed()
        fit(tmp_path, WeightAveraging(device="cpu", use_buffers=False, avg_fn=lambda a, c, n: c), module=last)
        plain = Normed()
        fit(tmp_path, module=plain)
        assert close(weights(last), weights(plain))
        with pytest.raises(InvalidTypeError, match="avg_fn or multi_avg_fn"):
            WeightAveraging(average="x")


class Tuned(Scripted):
    def __init__(self):
        super().__init__(lr=0.1)
        self.backbone = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))

    def forward(self, x):
        return self.layer(self.backbone(x))

    def configure_optimizers(self):
        return torch.optim.SGD(filter(lambda p: p.requires_grad, self.parameters()), lr=self.lr, momentum=0.9)


class TestFinetuning:
    def test_the_backbone_waits_for_its_epoch(self, tmp_path):
        rates, moved = [], []
        module = Tuned()
        first = weights(module.backbone)

        def note(trainer, module):
            rates.append([round(group["lr"], 6) for group in trainer.optimizers[0].param_groups])
            moved.append(not torch.equal(module.backbone[0].weight, first["0.weight"]))

        callback = BackboneFinetuning(unfreeze_backbone_at_epoch=2, backbone_initial_ratio_lr=0.1, train_bn=False)
        fit(tmp_path, callback, LambdaCallback(on_train_epoch_end=note), module=module, max_epochs=6)
        assert rates == [[0.1], [0.1], [0.1, 0.01], [0.1, 0.02], [0.1, 0.04], [0.1, 0.08]]
        assert moved == [False, False, True, True, True, True]

    def test_alignment_and_a_rate_of_its_own(self, tmp_path):
        rates = []
        note = LambdaCallback(on_train_epoch_end=lambda t, m: rates.append(t.optimizers[0].param_groups[-1]["lr"]))
        callback = BackboneFinetuning(1, backbone_initial_lr=0.04, lambda_func=lambda epoch: 2.0, train_bn=False)
        fit(tmp_path, callback, note, module=Tuned(), max_epochs=4)
        assert rates == [0.1, 0.04, 0.08, 0.1]

    def test_a_resume_has_the_groups_and_equals_the_unbroken_run(self, tmp_path):
        def run(max_epochs, ckpt_path=None):
            torch.manual_seed(0)
            module = Tuned()
            saving = ModelCheckpoint(tmp_path / "c", "{epoch}", save_top_k=-1, enable_version_counter=False)
            callback = BackboneFinetuning(1, train_bn=False)
            fit(tmp_path, callback, saving, module=module, max_epochs=max_epochs, ckpt_path=ckpt_path)
            return module

        whole = run(4)
        run(2)
        resumed = run(4, tmp_path / "c" / "epoch=1.ckpt")
        assert close(weights(resumed), weights(whole))

    def test_schedulers_go_on(self, tmp_path):
        class Scheduled(Tuned):
            def configure_optimizers(self):
                optimizer = super().configure_optimizers()
                return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]

        rates = []
        note = LambdaCallback(on_train_epoch_end=lambda t, m: rates.append(t.optimizers[0].param_groups[0]["lr"]))
        fit(tmp_path, BackboneFinetuning(1, train_bn=False), note, module=Scheduled(), max_epochs=3)
        assert rates == [0.05, 0.025, 0.0125]

    def test_freezing(self):
        net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ModuleList([nn.Linear(2, 2)]))
        BaseFinetuning.freeze(net, train_bn=True)
        assert [p.requires_grad for p in net.parameters()] == [False, False, True, True, False, False]
        BaseFinetuning.freeze([net[0], [net[1]]], train_bn=False)
        assert not any(p.requires_grad for p in net.parameters())
        assert net[1].track_running_stats is False
        BaseFinetuning.make_trainable(net)
        assert all(p.requires_grad for p in net.parameters())
        assert net[1].track_running_stats is True
        assert len(list(BaseFinetuning.filter_params(net, train_bn=False))) == 4

    def test_parameters_that_the_optimizer_holds_already(self):
        net = nn.Linear(2, 2)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        with pytest.warns(UserWarning, match="frozen already .* 2 of them"):
            BaseFinetuning.unfreeze_and_add_param_group(net, optimizer)
        assert len(optimizer.param_groups) == 1

    def test_no_backbone(self, tmp_path):
        with pytest.raises(MisconfigurationException, match="`backbone`"):
            fit(tmp_path, BackboneFinetuning())
