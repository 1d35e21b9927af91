"""The progress bars, drawn during real fits."""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import time

import pytest
import torch

from lit_studio.base.errors import InvalidStateError, InvalidValueError
from lit_studio.callbacks import Callback, ProgressBar, RichProgressBar, TQDMProgressBar
from lit_studio.callbacks.progress import RichProgressBarTheme
from lit_studio.callbacks.progress.base import format_metric
from lit_studio.callbacks.progress.passes import Pass, clock, speed
from lit_studio.trainer.trainer import Trainer
from tests.unit.callbacks.models import Scripted, fit, loader

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    """A text file that says that it is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


def frames(text):
    return [line.rstrip() for line in re.split(r"[\r\n]+", CODES.sub("", text)) if line.strip()]


def rich_bar(terminal=True, **kwargs):
    file = io.StringIO()
    console = {"file": file, "force_terminal": terminal, "width": 140, "force_jupyter": False}
    return RichProgressBar(console_kwargs=console, **kwargs), file


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    return Terminal()


def fit_in(terminal, *args, **kwargs):
    """Fit with ``terminal`` as the standard output."""
    with contextlib.redirect_stdout(terminal):
        return fit(*args, enable_progress_bar=True, **kwargs)


class TestRich:
    def test_it_shows_epochs_validation_and_headline_metrics(self, tmp_path):
        bar, file = rich_bar()
        fit(tmp_path, bar, module=Scripted([0.5, 0.25]), enable_progress_bar=True, num_sanity_val_steps=1)
        seen = frames(file.getvalue())
        assert any(line.startswith("Sanity Checking") for line in seen)
        assert any(line.startswith("Validation") and "2/2" in line for line in seen)
        last = [line for line in seen if line.startswith("Epoch 1/1")][-1]
        assert "4/4" in last
        assert "it/s" in last
        assert last.endswith("v_num: 0 val: 0.250")
        assert bar.progress is None

    def test_between_draws_a_step_reads_no_metric(self, tmp_path):
        reads = []

        class Count(RichProgressBar):
            def get_metrics(self, trainer, pl_module):
                reads.append(time.monotonic())
                return super().get_metrics(trainer, pl_module)

        bar = Count(console_kwargs={"file": io.StringIO(), "force_terminal": True, "force_jupyter": False})
        begin = time.monotonic()
        fit(tmp_path, bar, enable_progress_bar=True, batches=1500, max_epochs=1, val=False)
        seconds = time.monotonic() - begin
        assert len(reads) <= seconds * 10 + 6

    def test_finished_epochs_stay_if_asked(self, tmp_path):
        for leave, lines in ((False, 1), (True, 3)):
            bar, file = rich_bar(leave=leave)
            fit(tmp_path, bar, enable_progress_bar=True, max_epochs=3)
            end = CODES.sub("", file.getvalue().split("\x1b[2K")[-1])
            assert len(re.findall(r"Epoch \d/2", end)) == lines

    def test_what_is_printed_appears_above(self, tmp_path):
        class Say(Callback):
            def on_train_epoch_start(self, trainer, pl_module):
                pl_module.print(f"hello from epoch {trainer.current_epoch}")

        bar, file = rich_bar()
        fit(tmp_path, Say(), bar, enable_progress_bar=True)
        assert "hello from epoch 1" in frames(file.getvalue())

    def test_without_a_terminal_one_line_an_epoch(self, tmp_path):
        bar, file = rich_bar(terminal=False)
        trainer = fit(tmp_path, bar, module=Scripted([0.5, 0.25]), enable_progress_bar=True)
        trainer.test(Scripted(), loader(6))
        lines = file.getvalue().splitlines()
        assert [line.split(" in ")[0] for line in lines] == ["Epoch 0/1: 4/4", "Epoch 1/1: 4/4", "Testing: 3/3"]
        assert [line.split()[-1] for line in lines[:2]] == ["val=0.5", "val=0.25"]

    def test_an_error_and_an_interruption_give_the_terminal_back(self, tmp_path):
        class Fail(Callback):
            def on_train_batch_end(self, *args):
                raise ValueError("inside")

        bar, file = rich_bar()
        with pytest.raises(ValueError, match="inside"):
            fit(tmp_path, bar, Fail(), enable_progress_bar=True)
        assert file.getvalue().endswith("\x1b[?25h"), "the cursor is shown again"
        assert bar.progress is None

    def test_columns_theme_and_metrics_can_be_changed(self, tmp_path):
        class Own(RichProgressBar):
            def get_metrics(self, trainer, pl_module):
                return {"half": 0.5, "tiny": 1e-9, "text": "abc", "whole": torch.tensor(3)}

            def configure_columns(self, trainer):
                return super().configure_columns(trainer)[-1:]

        file = io.StringIO()
        theme = RichProgressBarTheme(metrics_text_delimiter="|", metrics_format=".2f")
        console = {"file": file, "force_terminal": True, "width": 100, "force_jupyter": False}
        fit(tmp_path, Own(theme=theme, console_kwargs=console), enable_progress_bar=True)
        assert frames(file.getvalue())[-1] == "half: 0.50|tiny: 1.00e-09|text: abc|whole: 3"

    def test_a_loader_without_a_length(self, tmp_path):
        class Stream(torch.utils.data.IterableDataset):
            def __iter__(self):
                for _ in range(6):
                    x = torch.ones(4)
                    yield x, x.sum(0, keepdim=True)

        bar, file = rich_bar()
        trainer = Trainer(
            default_root_dir=tmp_path, accelerator="cpu", max_epochs=1, callbacks=[bar], limit_val_batches=0
        )
        trainer.fit(Scripted(), torch.utils.data.DataLoader(Stream(), batch_size=2))
        assert any(re.search(r"Epoch 0/0 .* 3 ", line) for line in frames(file.getvalue()))

    def test_several_loaders_have_a_line_each(self, tmp_path):
        bar, file = rich_bar()
        trainer = Trainer(default_root_dir=tmp_path, accelerator="cpu", callbacks=[bar], logger=False)
        trainer.predict(Scripted(), [loader(4), loader(6)])
        end = frames(file.getvalue())[-2:]
        assert end[0].startswith("Predicting DataLoader 0")
        assert "2/2" in end[0]
        assert end[1].startswith("Predicting DataLoader 1")
        assert "3/3" in end[1]

    def test_disabled_it_draws_nothing(self, tmp_path):
        bar, file = rich_bar(refresh_rate=0)
        assert bar.is_disabled
        fit(tmp_path, bar, enable_progress_bar=True)
        assert file.getvalue() == ""
        bar, file = rich_bar()
        bar.disable()
        fit(tmp_path, bar, enable_progress_bar=True)
        assert file.getvalue() == ""
        bar.enable()
        assert bar.is_enabled

    def test_it_can_be_sent_to_another_process_while_it_draws(self, tmp_path):
        class Send(Callback):
            def on_train_batch_end(self, trainer, *args):
                twins.append(pickle.loads(pickle.dumps(trainer.progress_bar_callback)))

        twins = []
        bar, _ = rich_bar()
        bar._console_kwargs = {**bar._console_kwargs, "file": None}
        fit(tmp_path, Send(), bar, enable_progress_bar=True, max_epochs=1)
        assert twins[0].progress is None
        assert twins[0].theme == bar.theme


class TestText:
    def test_one_line_is_written_over_and_over(self, tmp_path, terminal):
        fit_in(terminal, tmp_path, TQDMProgressBar(), module=Scripted([0.5, 0.25]))
        text = terminal.getvalue()
        assert text.count("\n") == 1
        last = text.split("\r")[-1].rstrip("\n")
        assert re.fullmatch(r"Epoch 1/1: 100%\|█{20}\| 4/4 \[0:0\d<0:00, [\d.]+ it/s, v_num=0, val=0\.25\]", last)
        assert "Validation: 100%" in text

    def test_it_fits_the_terminal(self, tmp_path, terminal, monkeypatch):
        monkeypatch.setenv("COLUMNS", "60")
        fit_in(terminal, tmp_path, TQDMProgressBar(), module=Scripted([0.5]))
        assert "Epoch 1/1" in terminal.getvalue()
        assert max(len(line) for line in re.split(r"[\r\n]", terminal.getvalue())) <= 59

    def test_a_terminal_that_can_not_write_blocks(self, tmp_path, terminal):
        terminal.encoding = "ascii"
        fit_in(terminal, tmp_path, TQDMProgressBar())
        assert terminal.getvalue().isascii()
        assert "####################" in terminal.getvalue()

    def test_finished_epochs_stay_if_asked(self, tmp_path, terminal):
        fit_in(terminal, tmp_path, TQDMProgressBar(leave=True), max_epochs=3)
        lines = [line.split("\r")[-1] for line in terminal.getvalue().rstrip("\n").split("\n")]
        assert [line[:9] for line in lines] == ["Epoch 0/2", "Epoch 1/2", "Epoch 2/2"]

    def test_printing_keeps_the_line(self, tmp_path, terminal):
        class Say(Callback):
            def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
                if batch_idx == 2:
                    trainer.progress_bar_callback.print("hello")

        fit_in(terminal, tmp_path, Say(), TQDMProgressBar(), max_epochs=1)
        assert "\rhello\nEpoch 0/0:" in re.sub(r"\r +\r", "\r", terminal.getvalue())

    def test_without_a_terminal_one_line_an_epoch(self, tmp_path, capsys):
        trainer = fit(tmp_path, TQDMProgressBar(), module=Scripted([0.5, 0.25]), enable_progress_bar=True)
        trainer.validate(Scripted([0.75]), loader(4), verbose=False)
        lines = [line for line in capsys.readouterr().out.splitlines() if "it/s" in line]
        assert [line.split(" in ")[0] for line in lines] == ["Epoch 0/1: 4/4", "Epoch 1/1: 4/4", "Validation: 2/2"]
        assert [line.split()[-1] for line in lines] == ["val=0.5", "val=0.25", "val=0.75"]

    def test_bad_arguments(self):
        with pytest.raises(InvalidValueError, match="refresh_rate"):
            TQDMProgressBar(refresh_rate=-1)
        with pytest.raises(InvalidValueError, match="process_position"):
            TQDMProgressBar(process_position=-1)


class TestBase:
    def test_a_bar_of_one_s_own(self, tmp_path):
        class Own(ProgressBar):
            def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
                totals.append((batch_idx + 1, self.total_train_batches, self.total_val_batches))
                metrics.append(self.get_metrics(trainer, pl_module))

        totals, metrics = [], []
        bar = Own()
        with pytest.raises(InvalidStateError, match="not attached"):
            _ = bar.trainer
        fit(tmp_path, bar, module=Scripted([0.5]), enable_progress_bar=True)
        assert totals[-1] == (4, 4, 2)
        assert metrics[-1] == {"v_num": 0, "val": 0.5}

    def test_rates_leave_out_what_is_done_elsewhere(self):
        now = time.monotonic()
        current = Pass("train", "Epoch 0", 100, started=now)
        assert (current.rate(now), current.left(now)) == (0.0, None)
        current.done = 50
        assert current.rate(now + 5) == pytest.approx(10)
        assert current.left(now + 5) == pytest.approx(5)
        current.elsewhere = 10
        current.done = 60
        assert current.rate(now + 16) == pytest.approx(10)

    def test_a_resumed_epoch_does_not_count_what_was_done_before(self):
        now = time.monotonic()
        current = Pass("train", "Epoch 0", 1000, started=now)
        current.resume_at(500, now)
        current.done = 510
        assert current.rate(now + 1) == pytest.approx(10)

    def test_words(self):
        assert [clock(None), clock(5), clock(65), clock(3725)] == ["-:--", "0:05", "1:05", "1:02:05"]
        assert [speed(0), speed(12.345), speed(0.25)] == ["-- it/s", "12.35 it/s", "4.00 s/it"]
        assert format_metric(float("nan"), ".3f") == "nan"
        assert format_metric(0.0, ".3f") == "0.000"


def test_a_step_between_draws_costs_microseconds(tmp_path):
    class Measure(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if batch_idx != 1:
                return
            bar = trainer.progress_bar_callback
            for _ in range(5):
                bar._drawn = time.monotonic() + 1
                begin = time.perf_counter()
                for index in range(1000):
                    bar.on_train_batch_end(trainer, pl_module, outputs, batch, index)
                costs.append((time.perf_counter() - begin) / 1000)

    costs = []
    bar, _ = rich_bar()
    fit(tmp_path, Measure(), bar, enable_progress_bar=True, max_epochs=1)
    assert min(costs) < 5e-6
