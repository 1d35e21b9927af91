"""What makes the bars cheap: no hook at each batch, and lines that look like Rich's table."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from lit_studio.callbacks import Callback, RichProgressBar, TQDMProgressBar
from lit_studio.callbacks.progress.lines import LinesProgress
from tests.unit.callbacks.models import fit


class Finds(Callback):
    """Notes whether anything hooks into the end of a training batch."""

    hooked = None

    def on_train_start(self, trainer, pl_module):
        self.hooked = trainer.hooks.find("on_train_batch_end") is not None


class Counting(RichProgressBar):
    """Somebody's own bar, which counts batches."""

    seen = 0

    def on_train_batch_end(self, *args):
        self.seen += 1
        super().on_train_batch_end(*args)


@pytest.mark.parametrize("kind", [RichProgressBar, TQDMProgressBar])
def test_a_bar_needs_no_hook_at_a_training_batch(tmp_path, kind):
    finds, bar = Finds(), kind()
    fit(tmp_path, finds, bar, enable_progress_bar=True, max_epochs=1)
    assert finds.hooked is False


def test_a_bar_with_a_hook_of_its_own_is_called_at_each_batch(tmp_path):
    finds, bar = Finds(), Counting(console_kwargs={"file": io.StringIO()})
    fit(tmp_path, finds, bar, enable_progress_bar=True, max_epochs=2, batches=5)
    assert (finds.hooked, bar.seen) == (True, 10)


def test_the_flush_moves_the_bar(tmp_path):
    class Flushes(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            trainer.observation.flush(batch_idx + 1)
            done.append(bar.train_progress_bar.completed)

    done = []
    bar = RichProgressBar(console_kwargs={"file": io.StringIO(), "force_terminal": True, "force_jupyter": False})
    bar.open_display = lambda: (RichProgressBar.open_display(bar), setattr(bar, "_draw_every", 0.0))
    fit(tmp_path, Flushes(), bar, enable_progress_bar=True, max_epochs=1, batches=4, val=False)
    assert done == [1, 2, 3, 4]


def test_draws_keep_to_the_refresh_rate(tmp_path):
    drawn = []
    bar = RichProgressBar(refresh_rate=3, console_kwargs={"file": io.StringIO(), "force_terminal": True})
    bar.open_display = lambda: setattr(bar, "_draw_every", 0.0)
    bar.draw = lambda passes, metrics, now: drawn.append(passes[-1].done)

    class Flushes(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            trainer.observation.flush(batch_idx + 1)

        def on_train_epoch_end(self, trainer, pl_module):
            seen.extend(drawn)

    seen = []
    fit(tmp_path, Flushes(), bar, enable_progress_bar=True, max_epochs=1, batches=8, val=False)
    assert [done for done in seen if done] == [3, 6, 8]


TASKS = [
    [("Epoch 0/9", 0, 100), ("Validation", 1, 3)],
    [("Epoch 0/9", 37, 100), ("Validation DataLoader 1", 3, 3)],
    [("Epoch 9/9", 100, 100)],
    [("Epoch 0", 1, 1000), ("Validation", 999, 1000)],
    [("Nothing", 0, 0)],
]


def terminal(width):
    """A console that believes to be a terminal with colours."""
    options = {"force_terminal": True, "force_jupyter": False, "color_system": "truecolor"}
    return Console(file=io.StringIO(), width=width, **options)


@pytest.mark.parametrize("tasks", TASKS, ids=range(len(TASKS)))
@pytest.mark.parametrize("width", [140, 60])
def test_lines_look_like_the_table_of_the_same_columns(tasks, width):
    bar = RichProgressBar()
    pictures = []
    for theme in (bar.theme, None):
        console = Console(
            file=io.StringIO(), width=width, force_terminal=True, force_jupyter=False, color_system="truecolor"
        )
        progress = LinesProgress(bar.configure_columns(None), theme, console)
        for number, (description, done, total) in enumerate(tasks):
            words = {"count": f"{done}/{total}", "times": "0:01 • -:--", "speed": "3.14 it/s"}
            metrics = "v_num: 0 val: 0.25" if number == 0 else ""
            progress.add_task(description, total=total, completed=done, **words, metrics=metrics)
        console.print(progress.get_renderable())
        pictures.append(console.file.getvalue())
    lines, table = ([line.rstrip() for line in console_text(picture)] for picture in pictures)
    if width > 100:
        assert lines == table
    assert all(len(line) <= width for line in lines)
    assert len(lines) == len(tasks)


def console_text(picture):
    """The lines of ``picture`` without their colours."""
    from rich.text import Text

    return Text.from_ansi(picture).plain.splitlines()


def test_what_lines_can_not_show_is_left_to_rich():
    console = terminal(100)
    bar = RichProgressBar()
    progress = LinesProgress(bar.configure_columns(None), bar.theme, console)
    progress.add_task("Stream", total=None, count="7", times="0:01", speed="", metrics="")
    assert type(progress.get_renderable()) is type(Progress.get_renderable(progress))
