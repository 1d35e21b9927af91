"""Throughput: rates over a window, what is refused, and what the monitors log."""

from __future__ import annotations

import csv

import pytest
import torch

import lit_studio as L
from lit_studio.callbacks import ThroughputMonitor, peak_flops
from lit_studio.fabric.utilities.throughput import Throughput, get_available_flops, measure_flops
from lit_studio.fabric.utilities.throughput import ThroughputMonitor as FabricMonitor
from lit_studio.pytorch.utilities.memory import garbage_collection_cuda, is_oom_error, recursive_detach
from tests.unit.callbacks.models import Scripted, fit


class Counted(Scripted):
    flops_per_batch = 10


def test_rates_are_those_of_the_window():
    throughput = Throughput(available_flops=100, window_size=3)
    for i, time in enumerate((1.0, 2.0, 4.0, 8.0), start=1):
        throughput.update(time=time, batches=i, samples=4 * i, lengths=40 * i, flops=30)
        if i < 3:
            assert throughput.compute() == {"time": time, "batches": i, "samples": 4 * i, "lengths": 40 * i}
    assert throughput.compute() == {
        "time": 8.0,
        "batches": 4,
        "samples": 16,
        "lengths": 160,
        "device/batches_per_sec": pytest.approx(2 / 6),
        "device/samples_per_sec": pytest.approx(8 / 6),
        "device/items_per_sec": pytest.approx(80 / 6),
        "device/flops_per_sec": pytest.approx(60 / 6),
        "device/mfu": pytest.approx(0.1),
    }
    throughput.reset()
    with pytest.raises(RuntimeError, match="nothing to compute"):
        throughput.compute()


def test_several_devices_are_as_fast_together_as_their_number_says():
    throughput = Throughput(world_size=4, window_size=2, separator="|")
    for i in (1, 2):
        throughput.update(time=2.0 * i, batches=i, samples=8 * i, flops=20)
    found = throughput.compute()
    assert found["device|samples_per_sec"] == 4
    assert found["samples_per_sec"] == 16
    assert found["batches_per_sec"] == 2
    assert (found["device|flops_per_sec"], found["flops_per_sec"]) == (10, 40)


def test_totals_must_rise_and_fit_together():
    throughput = Throughput()
    throughput.update(time=1, batches=1, samples=2, lengths=2)
    with pytest.raises(ValueError, match="Expected the value to increase"):
        throughput.update(time=1, batches=2, samples=4, lengths=4)
    with pytest.raises(ValueError, match="to be greater or equal than batches"):
        throughput.update(time=2, batches=5, samples=4)
    with pytest.raises(ValueError, match="to be greater or equal than samples"):
        throughput.update(time=2, batches=2, samples=4, lengths=3)
    for kwargs in ({"window_size": 1}, {"world_size": 0}):
        with pytest.raises(ValueError, match="too small"):
            Throughput(**kwargs)
    never = Throughput()
    never.update(time=1, batches=1, samples=1)
    with pytest.raises(RuntimeError, match="same number of samples"):
        never.update(time=2, batches=2, samples=2, lengths=2)


def test_operations_are_counted_without_being_done():
    with torch.device("meta"):
        model, x = torch.nn.Linear(8, 4), torch.randn(2, 8)
    forward = 2 * 2 * 8 * 4
    assert measure_flops(model, lambda: model(x)) == forward
    assert measure_flops(model, lambda: model(x), torch.Tensor.sum) == 2 * forward


def rows(tmp_path):
    with (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def logged(tmp_path, name):
    """Steps and values of one metric."""
    return {int(row["step"]): float(row[name]) for row in rows(tmp_path) if row.get(name)}


def test_a_fit_logs_its_throughput(tmp_path):
    monitor = ThroughputMonitor(lambda batch: len(batch[0]), lambda batch: 3 * len(batch[0]), window_size=2)
    trainer = fit(tmp_path, monitor, module=Counted(), log_every_n_steps=2, enable_checkpointing=False)
    assert logged(tmp_path, "train/samples") == {1: 4, 3: 8, 5: 12, 7: 16}
    assert logged(tmp_path, "train/lengths") == {1: 12, 3: 24, 5: 36, 7: 48}
    assert logged(tmp_path, "validate/batches") == {2: 2, 4: 2}  # each pass counts anew, at steps that rise
    times = logged(tmp_path, "train/time")
    assert list(times.values()) == sorted(times.values())
    assert set(logged(tmp_path, "train/device/flops_per_sec")) == {1, 3, 5, 7}
    assert trainer.logged_metrics["train/samples"] == 16


def test_micro_batches_are_counted_and_logged_with_their_step(tmp_path):
    monitor = ThroughputMonitor(lambda batch: len(batch[0]))
    settings = {"val": False, "log_every_n_steps": 1, "accumulate_grad_batches": 2, "enable_checkpointing": False}
    fit(tmp_path, monitor, module=Counted(), **settings)
    assert logged(tmp_path, "train/batches") == {0: 2, 1: 4, 2: 6, 3: 8}


def test_validation_does_not_count_as_time_of_training(tmp_path, monkeypatch):
    now = [0.0]

    class Slow(Counted):
        def training_step(self, batch, batch_idx):
            now[0] += 1
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch, batch_idx):
            now[0] += 100

    monkeypatch.setattr("lit_studio.callbacks.throughput_monitor.time.perf_counter", lambda: now[0])
    fit(tmp_path, ThroughputMonitor(lambda batch: 2), module=Slow(), log_every_n_steps=1, enable_checkpointing=False)
    assert logged(tmp_path, "train/time") == {step: step + 1 for step in range(8)}
    assert set(logged(tmp_path, "validate/time").values()) == {100, 200}


def test_a_module_that_does_not_say_its_operations_is_told_once(tmp_path):
    monitor = ThroughputMonitor(lambda batch: len(batch[0]))
    with pytest.warns(UserWarning, match="define a `flops_per_batch`") as caught:
        fit(tmp_path, monitor, module=Scripted(), val=False, logger=False, enable_checkpointing=False)
    assert sum("flops_per_batch" in str(one.message) for one in caught) == 1


def test_fabric_logs_what_its_monitor_computes(tmp_path):
    fabric = L.Fabric(accelerator="cpu", loggers=L.loggers.CSVLogger(tmp_path))
    monitor = FabricMonitor(fabric, window_size=2)
    for i in range(1, 4):
        monitor.update(time=float(i), batches=i, samples=2 * i)
        found = monitor.compute_and_log()
    assert found["device/samples_per_sec"] == 2
    assert monitor.step == 2


@pytest.mark.parametrize(
    ("name", "dtype", "figure"),
    [
        ("NVIDIA H100 80GB HBM3", torch.bfloat16, 989.4e12),
        ("NVIDIA H100 PCIe", torch.bfloat16, 756e12),
        ("NVIDIA H200", torch.float64, 33.5e12),
        ("NVIDIA A100-SXM4-40GB", torch.float16, 312e12),
        ("NVIDIA A100 80GB PCIe", torch.float32, 156e12),
        ("NVIDIA A10G", torch.float16, 70e12),
        ("NVIDIA GeForce RTX 4080 SUPER", torch.int8, 417.6e12),
        ("NVIDIA GeForce RTX 4080", torch.int8, 389.9e12),
        ("Tesla V100-SXM2-16GB", torch.float16, 125e12),
        ("Tesla V100-PCIE-16GB", torch.float16, 112e12),
        ("Tesla T4", torch.float16, 65e12),
        ("NVIDIA L4", torch.bfloat16, 121e12),
        ("NVIDIA L40S", torch.bfloat16, 362.05e12),
        ("NVIDIA RTX A6000", torch.bfloat16, 154.8e12),
    ],
)
def test_a_device_is_known_by_its_name(monkeypatch, name, dtype, figure):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    monkeypatch.setattr(peak_flops, "_uses_tf32", lambda device: True)
    assert get_available_flops(torch.device("cuda"), dtype) == int(figure)


def test_an_unknown_device_has_no_figure(monkeypatch):
    assert get_available_flops(torch.device("cpu"), torch.float32) is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Imagined 9000")
    with pytest.warns(UserWarning, match="FLOPs not found for 'Imagined 9000'"):
        assert get_available_flops(torch.device("cuda"), torch.float32) is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.warns(UserWarning, match=r"does not support torch\.bfloat16"):
        assert get_available_flops(torch.device("cuda"), torch.bfloat16) is None


def test_exhausted_memory_is_told_from_other_errors():
    exhausted = [
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        torch.OutOfMemoryError("anything"),
        MemoryError(),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if …"),
        RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    ]
    assert all(map(is_oom_error, exhausted))
    others = [RuntimeError("CUDA error: illegal address"), ValueError("CUDA out of memory"), RuntimeError(1, 2)]
    assert not any(map(is_oom_error, others))
    garbage_collection_cuda()


def test_what_is_really_too_large_for_the_host_is_recognized():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.float64)
    assert is_oom_error(caught.value) or "overflow" in str(caught.value)


def test_tensors_are_detached_wherever_they_lie():
    weight = torch.ones(2, requires_grad=True)
    found = recursive_detach({"a": weight * 2, "b": [weight * 3, "text"]}, to_cpu=True)
    assert not found["a"].requires_grad
    assert not found["b"][0].requires_grad
    assert found["b"][1] == "text"
