"""CSVLogger: versions that nobody shares, rows that nobody loses."""

from __future__ import annotations

import csv
import enum
import math
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy
import pytest
import torch
import yaml

from lit_studio.base.errors import InvalidValueError
from lit_studio.loggers import CSVLogger
from lit_studio.loggers.csv_logs import ExperimentWriter


def rows(logger):
    with (Path(logger.log_dir) / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class TestVersions:
    def test_counts_up_and_skips_what_is_there(self, tmp_path):
        (tmp_path / "lightning_logs" / "version_4").mkdir(parents=True)
        (tmp_path / "lightning_logs" / "version_x").mkdir()
        first, second = CSVLogger(tmp_path), CSVLogger(tmp_path)
        assert (first.version, second.version, first.version) == (5, 6, 5)
        assert first.log_dir == str(tmp_path / "lightning_logs" / "version_5")
        assert Path(second.log_dir).is_dir()

    def test_a_logger_that_is_never_asked_makes_nothing(self, tmp_path):
        CSVLogger(tmp_path).finalize("success")
        assert list(tmp_path.iterdir()) == []

    def test_processes_never_share_a_version(self, tmp_path):
        code = (
            "import sys, types\n"
            "sys.modules['torch'] = types.SimpleNamespace(Tensor=type(None), nn=types.SimpleNamespace(Module=object))\n"
            "sys.modules['lit_studio.loggers.base'] = types.SimpleNamespace(Logger=object, is_rank_zero=lambda: True)\n"
            "import importlib.util as u\n"
            "spec = u.spec_from_file_location('folders', sys.argv[2]); m = u.module_from_spec(spec)\n"
            "spec.loader.exec_module(m)\n"
            "from pathlib import Path\n"
            "print('ready', flush=True); sys.stdin.readline()\n"
            "print(*(m.reserve_version(Path(sys.argv[1])) for _ in range(50)))\n"
        )
        import lit_studio.loggers.folders as folders

        command = [sys.executable, "-c", code, str(tmp_path / "logs"), folders.__file__]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        taken = [int(version) for process in processes for version in process.communicate()[0].split()]
        assert sorted(taken) == list(range(200))

    def test_given_versions_and_names(self, tmp_path):
        assert CSVLogger(tmp_path, version=3).log_dir == str(tmp_path / "lightning_logs" / "version_3")
        assert CSVLogger(tmp_path, name="exp", version="tuned").log_dir == str(tmp_path / "exp" / "tuned")
        assert CSVLogger(tmp_path, name=None, version=0).root_dir == str(tmp_path)
        assert CSVLogger(tmp_path).save_dir == str(tmp_path)


class TestMetrics:
    def test_columns_may_come_later(self, tmp_path):
        logger = CSVLogger(tmp_path)
        logger.log_metrics({"loss": torch.tensor(0.5), "epoch": 0}, step=0)
        logger.save()
        logger.log_metrics({"loss": numpy.float32(0.25)}, step=1)
        logger.log_metrics({"val/acc, top 1": 0.75, "epoch": 0}, step=1)
        logger.save()
        header = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()[0]
        assert header == 'epoch,step,loss,"val/acc, top 1"'
        assert [row["loss"] for row in rows(logger)] == ["0.5", "0.25", ""]
        assert rows(logger)[2]["val/acc, top 1"] == "0.75"
        assert [row["step"] for row in rows(logger)] == ["0", "1", "1"]

    def test_the_file_is_only_appended_to_while_columns_are_known(self, tmp_path):
        logger = CSVLogger(tmp_path, flush_logs_every_n_steps=10)
        file = Path(logger.log_dir) / "metrics.csv"
        inodes, sizes = set(), []
        for step in range(100):
            logger.log_metrics({"loss": step / 7}, step=step)
            if file.exists():
                inodes.add(file.stat().st_ino)
                sizes.append(file.stat().st_size)
        logger.log_metrics({"new": 1.0}, step=100)
        logger.save()
        assert len(inodes) == 1
        assert file.stat().st_ino not in inodes
        assert len(set(sizes)) == 10  # written ten times, not a hundred
        assert [float(row["loss"]) for row in rows(logger)[:-1]] == [step / 7 for step in range(100)]
        assert not list(file.parent.glob(".*.tmp"))

    def test_rows_are_written_every_so_many_steps_also_when_only_some_steps_log(self, tmp_path):
        logger = CSVLogger(tmp_path, flush_logs_every_n_steps=100)
        written = []
        for step in range(0, 400, 30):
            logger.log_metrics({"loss": 1.0}, step=step)
            file = Path(logger.log_dir) / "metrics.csv"
            written.append(len(rows(logger)) if file.exists() else 0)
        assert written == [0, 0, 0, 0, 5, 5, 5, 8, 8, 8, 11, 11, 11, 11]

    def test_without_steps_rows_are_counted(self, tmp_path):
        logger = CSVLogger(tmp_path)
        for value in range(3):
            logger.log_metrics({"x": value})
            logger.save()
        assert [row["step"] for row in rows(logger)] == ["0", "1", "2"]

    def test_what_is_not_finite_comes_back(self, tmp_path):
        logger = CSVLogger(tmp_path)
        logger.log_metrics({"a": math.nan, "b": math.inf, "c": -math.inf}, step=0)
        logger.save()
        row = rows(logger)[0]
        assert math.isnan(float(row["a"]))
        assert (float(row["b"]), float(row["c"])) == (math.inf, -math.inf)

    def test_an_older_run_in_the_same_folder_is_continued_even_after_a_crash(self, tmp_path):
        first = CSVLogger(tmp_path, version=0)
        first.log_metrics({"loss": 1.0}, step=0)
        first.save()
        with (Path(first.log_dir) / "metrics.csv").open("a") as file:
            file.write("1,0.5")  # torn off before the end of the line
        second = CSVLogger(tmp_path, version=0)
        second.log_metrics({"loss": 0.25}, step=2)
        second.save()
        second.log_metrics({"acc": 0.9}, step=3)
        second.save()
        assert [(row["step"], row["loss"], row["acc"]) for row in rows(second)] == [
            ("0", "1.0", ""),
            ("1", "0.5", ""),
            ("2", "0.25", ""),
            ("3", "", "0.9"),
        ]

    def test_prefix_and_finalize(self, tmp_path):
        logger = CSVLogger(tmp_path, prefix="run")
        logger.log_metrics({"loss": 1.0}, step=0)
        logger.finalize("failed")
        assert rows(logger) == [{"step": "0", "run-loss": "1.0"}]

    def test_a_flush_of_nothing_is_refused(self, tmp_path):
        with pytest.raises(InvalidValueError, match="flush_logs_every_n_steps"):
            CSVLogger(tmp_path, flush_logs_every_n_steps=0)

    def test_only_rank_zero_writes(self, tmp_path, monkeypatch):
        monkeypatch.setenv("RANK", "1")
        logger = CSVLogger(tmp_path, version=0)
        logger.log_metrics({"loss": 1.0}, step=0)
        logger.log_hyperparams({"lr": 1})
        logger.save()
        assert list(tmp_path.iterdir()) == []


class Colour(enum.Enum):
    RED = 1


class TestHparams:
    def test_safe_yaml_reads_them(self, tmp_path):
        logger = CSVLogger(tmp_path)
        logger.log_hyperparams(
            {
                "lr": 1e-3,
                "betas": (0.9, 0.999),
                "path": Path("data/x"),
                "colour": Colour.RED,
                "net": {"sizes": [1, 2], "act": torch.nn.ReLU, "none": None},
                "array": numpy.arange(3),
                "scalar": numpy.float64(0.5),
                "tensor": torch.ones(2),
                "big": torch.zeros(100, 3),
                "name": "Zürich",
                "object": slice(3),
            }
        )
        logger.save()
        text = (Path(logger.log_dir) / "hparams.yaml").read_text(encoding="utf-8")
        assert yaml.safe_load(text) == {
            "lr": 0.001,
            "betas": [0.9, 0.999],
            "path": "data/x",
            "colour": "RED",
            "net": {"sizes": [1, 2], "act": "torch.nn.modules.activation.ReLU", "none": None},
            "array": [0, 1, 2],
            "scalar": 0.5,
            "tensor": [1.0, 1.0],
            "big": "Tensor(100, 3)",
            "name": "Zürich",
            "object": "slice(None, 3, None)",
        }

    def test_namespaces_and_later_ones_are_merged(self, tmp_path):
        logger = CSVLogger(tmp_path)
        logger.log_hyperparams(Namespace(a=1, b=2))
        logger.save()
        logger.log_hyperparams({"b": 3})
        logger.save()
        assert yaml.safe_load((Path(logger.log_dir) / "hparams.yaml").read_text()) == {"a": 1, "b": 3}

    def test_none_still_leaves_the_file(self, tmp_path):
        logger = CSVLogger(tmp_path)
        logger.save()
        assert yaml.safe_load((Path(logger.log_dir) / "hparams.yaml").read_text()) == {}


def test_logging_a_row_costs_microseconds(tmp_path):
    import time

    writer = ExperimentWriter(tmp_path)
    metrics = {"loss": 0.5, "acc": 0.25, "epoch": 1}
    best = min(_timed(writer, metrics, time.perf_counter) for _ in range(5))
    assert best < 20e-6


def _timed(writer, metrics, clock):
    begin = clock()
    for step in range(500):
        writer.log_metrics(metrics, step)
    return (clock() - begin) / 500
